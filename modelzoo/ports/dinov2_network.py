"""The DINOv2 network with registers, built from the transformers package without asking any network for anything.

The package is an optional extra; only presets with a ``dinov2`` embedder need it. Its parameter names are those that
checkpoints hold; weight files in Meta's own names, or in those of published transformers files, are renamed on reading.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from modelzoo.checkpoint import CheckpointRefused, StateDict

REGISTERS = 4

#: Meta's names, then those of published transformers files; each rule is tried on every name.
_RENAMED = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^mask_token$", "embeddings.mask_token"),
    (r"^register_tokens$", "embeddings.register_tokens"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.(\d+)\.", r"encoder.layer.\1."),
    (r"(^encoder\.layer\.\d+)\.attn\.proj\.", r"\1.attention.o_proj."),
    (r"(^encoder\.layer\.\d+)\.ls([12])\.gamma$", r"\1.layer_scale\2.lambda1"),
    (r"(^encoder\.layer\.\d+)\.attention\.attention\.query\.", r"\1.attention.q_proj."),
    (r"(^encoder\.layer\.\d+)\.attention\.attention\.key\.", r"\1.attention.k_proj."),
    (r"(^encoder\.layer\.\d+)\.attention\.attention\.value\.", r"\1.attention.v_proj."),
    (r"(^encoder\.layer\.\d+)\.attention\.output\.dense\.", r"\1.attention.o_proj."),
)
_JOINED = re.compile(r"^(encoder\.layer\.\d+)\.attn\.qkv\.(weight|bias)$")


class EncoderMissing(ValueError):
    """What has to be installed before an image encoder can be built."""


def build_network(*, size: int, patch: int, width: int, depth: int, heads: int) -> Any:
    """An untrained network for ``size`` x ``size`` pixels. Raises EncoderMissing without the transformers package."""
    try:
        from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel
    except ImportError as error:
        raise EncoderMissing(
            "this preset sees images through DINOv2, which comes with the transformers package: "
            "install the extra with `pip install candid8[dinov2]`, or choose the preset nano, tiny or small"
        ) from error
    config = Dinov2WithRegistersConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=size,
        patch_size=patch,
        num_register_tokens=REGISTERS,
    )
    return Dinov2WithRegistersModel(config)


def prenorm_tokens(network: Any, image: Tensor) -> Tensor:
    """B x 3 x S x S, ImageNet-normalised, to B x (1 + registers + patches) x width, before the last norm."""
    features: Tensor = network.encoder(network.embeddings(image)).last_hidden_state
    return features


def read_weights(file: Path) -> StateDict:
    """The tensors of a safetensors file under the network's names. Raises CheckpointRefused."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointRefused(
            "weights_unreadable", f"{file.name} is not a safetensors file: {error}"
        ) from error
    return renamed(tensors)


def renamed(tensors: StateDict) -> StateDict:
    """Tensors under Meta's names or a published transformers file's, under the network's; others keep theirs."""
    out: StateDict = {}
    for given, tensor in tensors.items():
        name = given
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        joined = _JOINED.match(name)
        if joined is None:
            out[name] = tensor
            continue
        for part, third in zip("qkv", tensor.chunk(3), strict=True):
            out[f"{joined[1]}.attention.{part}_proj.{joined[2]}"] = third.contiguous()
    return out
