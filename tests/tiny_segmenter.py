"""A segmenter of two tiny ONNX files with SAM's inputs and outputs: an object is what has the prompt's colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64  # of the picture that the encoder takes, of its embedding, and of the mask that serves as a prompt
SURE = 0.95
OPSET = 18


@dataclass(frozen=True, kw_only=True)
class SegmenterFiles:
    encoder: Path
    decoder: Path


def tiny_segmenter(folder: Path, *, encoder_input: str = "image") -> SegmenterFiles:
    """Writes both files; another ``encoder_input`` makes an encoder that is not as documented."""
    files = SegmenterFiles(encoder=folder / "encoder.onnx", decoder=folder / "decoder.onnx")
    picture = helper.make_tensor_value_info(encoder_input, TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    embedding = helper.make_tensor_value_info("image_embeddings", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    same = helper.make_node("Identity", [encoder_input], ["image_embeddings"])
    _save(helper.make_graph([same], "encoder", [picture], [embedding]), files.encoder)
    _save(_decoder(), files.decoder)
    return files


def _decoder() -> onnx.GraphProto:
    """The colour under the mean of the prompts that say "object", and how far every other colour is from it."""
    constants = {
        "half": np.float32(0.5),
        "zero": np.float32(0),
        "last": np.float32(SIDE - 1),
        "side": np.int64(SIDE),
        "one_axis": np.array([1], np.int64),
        "two_axis": np.array([2], np.int64),
        "x": np.array([0], np.int64),
        "y": np.array([1], np.int64),
        "flat": np.array([3, SIDE * SIDE], np.int64),
        "as_colour": np.array([1, 3, 1, 1], np.int64),
        "scalar": np.array([1], np.int64),
        "base": np.float32(6),
        "steep": np.float32(-2),
        "weak": np.float32(0.1),
        "ones": np.array([1, 1], np.int64),
        "origin": np.array([0, 0], np.int64),
        "rows_and_columns": np.array([2, 3], np.int64),
        "sure": np.array([[SURE]], np.float32),
        "none": np.array([], np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Greater", ["point_labels", "half"], ["is_object"]),
        node("Cast", ["is_object"], ["weights"], to=TensorProto.FLOAT),
        node("ReduceSum", ["weights", "one_axis"], ["total"], keepdims=1),
        node("Div", ["weights", "total"], ["shares"]),
        node("Unsqueeze", ["shares", "two_axis"], ["shares_xy"]),
        node("Mul", ["point_coords", "shares_xy"], ["weighted"]),
        node("ReduceSum", ["weighted", "one_axis"], ["centre"], keepdims=0),
        node("Clip", ["centre", "zero", "last"], ["inside"]),
        node("Cast", ["inside"], ["cell"], to=TensorProto.INT64),
        node("Gather", ["cell", "x"], ["cell_x"], axis=1),
        node("Gather", ["cell", "y"], ["cell_y"], axis=1),
        node("Mul", ["cell_y", "side"], ["row_start"]),
        node("Add", ["row_start", "cell_x"], ["place_2d"]),
        node("Reshape", ["place_2d", "scalar"], ["place"]),
        node("Reshape", ["image_embeddings", "flat"], ["colours"]),
        node("Gather", ["colours", "place"], ["picked"], axis=1),
        node("Reshape", ["picked", "as_colour"], ["colour"]),
        node("Sub", ["image_embeddings", "colour"], ["difference"]),
        node("Mul", ["difference", "difference"], ["squared"]),
        node("ReduceSum", ["squared", "one_axis"], ["distance"], keepdims=1),
        node("Mul", ["distance", "steep"], ["fallen"]),
        node("Add", ["fallen", "base"], ["plain"]),
        node("Mul", ["mask_input", "has_mask_input"], ["prompt"]),
        node("Mul", ["prompt", "weak"], ["weak_prompt"]),
        node("Add", ["plain", "weak_prompt"], ["low"]),
        node("Cast", ["orig_im_size"], ["size"], to=TensorProto.INT64),
        node("ReduceMax", ["size"], ["longest"], keepdims=1),
        node("Concat", ["ones", "longest", "longest"], ["square"], axis=0),
        node("Resize", ["low", "none", "none", "square"], ["large"], mode="linear"),
        node("Slice", ["large", "origin", "size", "rows_and_columns"], ["masks"]),
        node("Identity", ["sure"], ["iou_predictions"]),
    ]
    info, real = helper.make_tensor_value_info, TensorProto.FLOAT
    inputs = [
        info("image_embeddings", real, [1, 3, SIDE, SIDE]),
        info("point_coords", real, [1, "prompts", 2]),
        info("point_labels", real, [1, "prompts"]),
        info("mask_input", real, [1, 1, SIDE, SIDE]),
        info("has_mask_input", real, [1]),
        info("orig_im_size", real, [2]),
    ]
    outputs = [info("masks", real, [1, 1, "height", "width"]), info("iou_predictions", real, [1, 1])]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "decoder", inputs, outputs, stored)


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
