"""A SAM-class segmenter from two ONNX files: an encoder once per photograph, a decoder per prompt."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from workers.mask_proposer import Guidance, Mask, Point, ProposedMask, keep_certain

ENCODER_INPUTS = frozenset({"image"})
ENCODER_OUTPUTS = frozenset({"image_embeddings"})
DECODER_INPUTS = frozenset(
    {"image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"}
)
DECODER_OUTPUTS = frozenset({"masks", "iou_predictions"})

# Of the photographs that SAM was trained on; the encoder wants them normalised so, padded below and to the right.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
#: Labels of prompt points: the background, the object, a box's two corners, and the filler when there is no box.
BACKGROUND, OBJECT, CORNERS, FILLER = 0.0, 1.0, (2.0, 3.0), -1.0
ROUGH_LOGIT = 8.0  # of a mask that is handed in as a prompt
KEPT_EMBEDDINGS = 8

GRID = 8  # proposals: prompt points along the longer side
LOOK_PX = 512  # the size at which proposals are compared
SMALLEST_SHARE, LARGEST_SHARE = 0.002, 0.7  # of the photograph
SUREST, STEADIEST = 0.8, 0.85  # predicted overlap, and overlap of the mask with itself under another cut
SAME = 0.7  # overlap of two masks of one thing
MAX_PROPOSALS = 9  # as many as there are keys for

Array = NDArray[np.float32]


class OnnxSegmenter:
    """Two sessions and the embeddings of the photographs that were asked for last."""

    def __init__(self, *, encoder: Path, decoder: Path) -> None:
        """Raises EngineError (bad_segmenter) naming what is missing or has other inputs than documented."""
        self._encoder = _session(encoder, inputs=ENCODER_INPUTS, outputs=ENCODER_OUTPUTS)
        self._decoder = _session(decoder, inputs=DECODER_INPUTS, outputs=DECODER_OUTPUTS)
        self._side = _square_side(self._encoder, "image", encoder)
        self._mask_side = _square_side(self._decoder, "mask_input", decoder)
        self._embeddings: OrderedDict[str, Array] = OrderedDict()
        self.name = f"segmenter:{_digest(encoder)[:8]}-{_digest(decoder)[:8]}"

    def refine(self, image: NDArray[np.uint8], guidance: Guidance, *, key: str) -> Mask:
        """One pass of the decoder with everything the person gave as prompts; strokes are kept to the pixel."""
        height, width = image.shape[:2]
        prompts = [(x, y, OBJECT if is_object else BACKGROUND) for x, y, is_object in _points(guidance)]
        if guidance.box is not None:
            x0, y0, x1, y1 = guidance.box
            prompts += [(x0, y0, CORNERS[0]), (x1, y1, CORNERS[1])]
        else:
            prompts.append((0.0, 0.0, FILLER))
        logits, _ = self._decode(image, prompts, key=key, rough=guidance.mask)
        drawn = guidance.with_points_drawn(height=height, width=width, radius=1)
        return keep_certain(logits > 0, drawn)

    def propose(self, image: NDArray[np.uint8], *, key: str) -> list[ProposedMask]:
        """Asks at the points of a grid what lies there; keeps what is sure, steady and not said twice."""
        height, width = image.shape[:2]
        shrink = min(1.0, LOOK_PX / max(height, width))
        look = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        found: list[tuple[float, Mask, tuple[float, float]]] = []
        for at in _grid(height=height, width=width):
            logits, sure = self._decode(image, [(*at, OBJECT), (0.0, 0.0, FILLER)], key=key, size=look)
            mask = logits > 0
            share = float(mask.mean())
            if (
                sure >= SUREST
                and SMALLEST_SHARE <= share <= LARGEST_SHARE
                and _steadiness(logits) >= STEADIEST
            ):
                found.append((sure, mask, at))
        kept: list[tuple[float, Mask, tuple[float, float]]] = []
        for one in sorted(found, key=lambda one: -one[0]):
            if len(kept) < MAX_PROPOSALS and all(_overlap(one[1], other[1]) < SAME for other in kept):
                kept.append(one)
        return [
            ProposedMask(
                mask=self._decode(image, [(*at, OBJECT), (0.0, 0.0, FILLER)], key=key)[0] > 0,
                score=min(1.0, sure),
            )
            for sure, _, at in kept
        ]

    def _decode(
        self,
        image: NDArray[np.uint8],
        prompts: Sequence[tuple[float, float, float]],
        *,
        key: str,
        rough: Mask | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[Array, float]:
        """Logits (H, W) of the mask that the decoder thinks best, and the overlap it predicts for it."""
        height, width = image.shape[:2]
        scale = self._side / max(height, width)
        coordinates = np.array([[x * scale, y * scale] for x, y, _ in prompts], np.float32)
        masks, sure = self._decoder.run(
            ["masks", "iou_predictions"],
            {
                "image_embeddings": self._embedding(image, key=key),
                "point_coords": coordinates[None],
                "point_labels": np.array([[label for _, _, label in prompts]], np.float32),
                "mask_input": self._mask_prompt(rough),
                "has_mask_input": np.array([float(rough is not None)], np.float32),
                "orig_im_size": np.array(size or (height, width), np.float32),
            },
        )
        best = int(np.argmax(sure[0]))
        return np.asarray(masks[0, best], np.float32), float(sure[0, best])

    def _embedding(self, image: NDArray[np.uint8], *, key: str) -> Array:
        if key in self._embeddings:
            self._embeddings.move_to_end(key)
            return self._embeddings[key]
        height, width = image.shape[:2]
        scale = self._side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        inner = (cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) - MEAN) / DEVIATION
        padded = np.zeros((self._side, self._side, 3), np.float32)
        padded[: size[1], : size[0]] = inner
        [embedding] = self._encoder.run(["image_embeddings"], {"image": padded.transpose(2, 0, 1)[None]})
        self._embeddings[key] = embedding
        if len(self._embeddings) > KEPT_EMBEDDINGS:
            self._embeddings.popitem(last=False)
        return np.asarray(embedding, np.float32)

    def _mask_prompt(self, rough: Mask | None) -> Array:
        prompt = np.zeros((1, 1, self._mask_side, self._mask_side), np.float32)
        if rough is not None:
            height, width = rough.shape
            scale = self._mask_side / max(height, width)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            inner = cv2.resize(rough.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            prompt[0, 0] = -ROUGH_LOGIT
            prompt[0, 0, : size[1], : size[0]] = (2 * inner - 1) * ROUGH_LOGIT
        return prompt


def _points(guidance: Guidance) -> list[Point]:
    """The person's points, and for each stroke the place deepest inside it."""
    points = list(guidance.points)
    for drawing, is_object in ((guidance.foreground, True), (guidance.background, False)):
        if drawing is None:
            continue
        count, pieces = cv2.connectedComponents(drawing.astype(np.uint8))
        for piece in range(1, min(count, 17)):
            depth = cv2.distanceTransform((pieces == piece).astype(np.uint8), cv2.DIST_L2, 3)
            y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
            points.append((float(x) + 0.5, float(y) + 0.5, is_object))
    return points


def _grid(*, height: int, width: int) -> list[tuple[float, float]]:
    step = max(height, width) / GRID
    columns, rows = max(1, round(width / step)), max(1, round(height / step))
    return [
        ((column + 0.5) * width / columns, (row + 0.5) * height / rows)
        for row in range(rows)
        for column in range(columns)
    ]


def _steadiness(logits: Array) -> float:
    loose = int((logits > -1).sum())
    return float((logits > 1).sum()) / loose if loose else 0.0


def _overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum()) / max(1, int((a | b).sum()))


def _session(path: Path, *, inputs: frozenset[str], outputs: frozenset[str]) -> Any:
    try:
        import onnxruntime  # an operator with a segmenter installs candid8[segmenter]
    except ImportError as error:
        raise EngineError(
            "A segmenter is set, but the package onnxruntime is missing: install candid8[segmenter] on the workers.",
            code="bad_segmenter",
        ) from error
    if not path.is_file():
        raise EngineError(f"The segmenter's file {path} does not exist on this worker.", code="bad_segmenter")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    except Exception as error:  # onnxruntime's own classes, of which it exports none
        raise EngineError(
            f"The segmenter's file {path} is no ONNX model that can be run: {error}", code="bad_segmenter"
        ) from error
    has = frozenset(one.name for one in session.get_inputs())
    gives = frozenset(one.name for one in session.get_outputs())
    if has != inputs or not outputs <= gives:
        raise EngineError(
            f"The segmenter's file {path.name} takes {_listed(has)} and gives {_listed(gives)}; it must take "
            f"{_listed(inputs)} and give {_listed(outputs)}. See docs/guide/segmenter.md.",
            code="bad_segmenter",
        )
    return session


def _square_side(session: Any, name: str, path: Path) -> int:
    shape = next(one.shape for one in session.get_inputs() if one.name == name)
    if len(shape) != 4 or not isinstance(shape[2], int) or shape[2] != shape[3]:
        raise EngineError(
            f"The segmenter's file {path.name} takes {name} of shape {shape}; "
            "its last two sides must be equal and fixed.",
            code="bad_segmenter",
        )
    return int(shape[2])


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
