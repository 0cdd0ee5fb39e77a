"""Which tensor of the official files each of ours is: a plain table of patterns, that an operator's JSON can override.

Names and layouts come from the module tree that public code shows (TRELLIS, and ports of SAM 3D to other runtimes);
where no public source was seen to load a real file by that name, the rule is not ``certain`` and the report says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

GENERATOR = "_base_models.generator.reverse_fn.backbone."
CONDITION = "_base_models.condition_embedder."
SS_GENERATOR, SLAT_GENERATOR = "ss_generator", "slat_generator"
LAYOUT = (
    "6drotation_normalized",
    "translation",
    "scale",
    "translation_scale",
)  # in the order of LAYOUT_SIZES
STREAMS = {
    "shape": "shape",
    "layout": "6drotation_normalized",
}  # the merged stream has its first member's name

Transform = Callable[[Sequence[Tensor], torch.Size], Tensor]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``ours`` (component.name, a regular expression) is ``theirs`` (templates in its groups) of ``file``, transformed.

    Several ``theirs`` are alternatives, the first that the file holds is taken, unless ``together``: then all are given
    to the transform. ``filled`` is the constant that stands in where the official network has no such tensor.
    """

    ours: str
    file: str
    theirs: tuple[str, ...]
    transform: str = "same"
    together: bool = False
    filled: float | None = None
    certain: bool = True


def rules_from_json(path: Path) -> tuple[Rule, ...]:
    """An operator's rules, tried before the table: a list of objects with Rule's fields. Raises ValueError."""
    try:
        entries = json.loads(path.read_text())
        if not isinstance(entries, list):
            raise ValueError(f"{path.name} is not a list of rules")
        rules = tuple(Rule(**{**entry, "theirs": tuple(entry["theirs"])}) for entry in entries)
        for rule in rules:
            re.compile(rule.ours)
            if rule.transform not in TRANSFORMS:
                raise ValueError(f"no transform {rule.transform!r}; there are {', '.join(TRANSFORMS)}")
    except (OSError, TypeError, KeyError, re.error, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is not a list of rules: {error}") from error
    return rules


def _same(given: Sequence[Tensor], shape: torch.Size) -> Tensor:
    return given[0]


def _reshaped(given: Sequence[Tensor], shape: torch.Size) -> Tensor:
    """The same numbers in the same order: a gain without its axis of one, a kernel with its offsets flattened."""
    return given[0].reshape(shape)


def _stacked(given: Sequence[Tensor], shape: torch.Size) -> Tensor:
    return torch.stack([one.reshape(-1) for one in given]).reshape(shape)


def _channels_last(given: Sequence[Tensor], shape: torch.Size) -> Tensor:
    return given[0].permute(0, 2, 3, 1).reshape(shape)


def _third(index: int) -> Transform:
    return lambda given, shape: given[0].chunk(3)[index]


TRANSFORMS: Mapping[str, Transform] = {
    "same": _same,
    "reshaped": _reshaped,
    "stacked": _stacked,
    "channels_last": _channels_last,
    "first_third": _third(0),
    "second_third": _third(1),
    "last_third": _third(2),
}

#: Official tensors that have no counterpart here, by file: fixed positions, sampling points, copies, unused parts.
UNUSED: Mapping[str, tuple[str, ...]] = {
    SS_GENERATOR: (
        rf"{re.escape(GENERATOR)}latent_mapping\.shape\.pos_emb",
        r"_base_models\.(?!generator\.|condition_embedder\.).*",  # such as the copy of the occupancy decoder
        rf"{re.escape(CONDITION)}module_list\.\d+\.(backbone\.)?(mean|std)",
    ),
    SLAT_GENERATOR: (
        r"_base_models\.(?!generator\.|condition_embedder\.).*",
        rf"{re.escape(CONDITION)}module_list\.\d+\.(backbone\.)?(mean|std)",
    ),
    "slat_decoder_gs": (r"offset_perturbation",),
    "slat_decoder_gs_4": (r"offset_perturbation",),
}


def table() -> tuple[Rule, ...]:
    """All rules, the more special before the more general."""
    return (
        *_condition(r"geometry\.encoder", SS_GENERATOR),
        *_point_patch(),
        *_geometry(),
        *_structure(),
        *_condition(r"texture\.condition_encoder", SLAT_GENERATOR),
        *_texture(),
        *_structured_latent(),
    )


def _linear(
    ours: str, file: str, *theirs: str, transform: str = "same", certain: bool = True
) -> Iterator[Rule]:
    """Weight and bias of one layer."""
    for part in ("weight", "bias"):
        yield Rule(
            ours=rf"{ours}\.{part}",
            file=file,
            theirs=tuple(f"{one}.{part}" for one in theirs),
            transform=transform if part == "weight" else "same",
            certain=certain,
        )


def _condition(ours: str, file: str) -> Iterator[Rule]:
    """Fuser and image encoders. DINOv2's names are Meta's; a mask's encoder may be wrapped once more."""
    yield Rule(ours=rf"{ours}\.fuser\.group_position", file=file, theirs=(f"{CONDITION}idx_emb",))
    fuser, nets = rf"{ours}\.fuser\.projections\.(\d+)", CONDITION + r"projection_nets.\1"
    yield from _linear(rf"{fuser}\.norm", file, f"{nets}.0")
    for part, name in (("gate", "w1"), ("out", "w2"), ("value", "w3")):
        yield Rule(ours=rf"{fuser}\.{part}\.weight", file=file, theirs=(f"{nets}.1.{name}.weight",))
    network = rf"{ours}\.embedders\.(\d+)\.network"
    homes = tuple(CONDITION + rf"module_list.\1.{wraps}" for wraps in ("backbone.", "backbone.backbone."))

    def rule(name: str, meta: str, *, transform: str = "same", filled: float | None = None) -> Rule:
        theirs = tuple(home + meta for home in homes)
        return Rule(ours=rf"{network}\.{name}", file=file, theirs=theirs, transform=transform, filled=filled)

    yield rule(r"embeddings\.cls_token", "cls_token")
    yield rule(r"embeddings\.mask_token", "mask_token", filled=0.0)  # no image of ours is masked
    yield rule(r"embeddings\.register_tokens", "register_tokens")
    yield rule(r"embeddings\.position_embeddings", "pos_embed")
    yield rule(r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\2")
    # A network that is read before its last norm may have been stored without it; nothing reads ours then.
    yield rule(r"layernorm\.weight", "norm.weight", filled=1.0)
    yield rule(r"layernorm\.bias", "norm.bias", filled=0.0)
    layer = r"encoder\.layer\.(\d+)"
    for part, third in (("q", "first_third"), ("k", "second_third"), ("v", "last_third")):
        yield rule(
            rf"{layer}\.attention\.{part}_proj\.(weight|bias)", r"blocks.\2.attn.qkv.\3", transform=third
        )
    yield rule(rf"{layer}\.attention\.o_proj\.(weight|bias)", r"blocks.\2.attn.proj.\3")
    yield rule(rf"{layer}\.layer_scale([12])\.lambda1", r"blocks.\2.ls\3.gamma")
    yield rule(rf"{layer}\.(norm[12]|mlp\.fc[12])\.(weight|bias)", r"blocks.\2.\3.\4")


def _point_patch() -> Iterator[Rule]:
    ours, theirs = r"geometry\.encoder\.embedders\.(\d+)", CONDITION + r"module_list.\1."
    tensors = (
        ("invalid", "invalid_xyz_token", "same", None),
        ("dropped", "dropped_xyz_token", "same", 0.0),  # the release was made without one
        ("cls", "cls_token", "reshaped", None),
        ("window_position", "pos_embed_window", "reshaped", None),
        ("position", "pos_embed", "channels_last", None),
    )
    for name, official, transform, filled in tensors:
        yield Rule(
            ours=rf"{ours}\.{name}",
            file=SS_GENERATOR,
            theirs=(theirs + official,),
            transform=transform,
            filled=filled,
        )
    yield from _linear(rf"{ours}\.point", SS_GENERATOR, f"{theirs}point_proj")
    layers = (
        ("norm_attention", "norm1"),
        ("norm_mlp", "norm2"),
        ("qkv", "attn.qkv"),
        ("out", "attn.proj"),
        (r"mlp\.0", "mlp.fc1"),
        (r"mlp\.2", "mlp.fc2"),
    )
    for name, official in layers:
        yield from _linear(rf"{ours}\.block\.{name}", SS_GENERATOR, f"{theirs}blocks.0.{official}")


def _geometry() -> Iterator[Rule]:
    ours, file = "geometry", SS_GENERATOR
    for number, name in enumerate(LAYOUT):
        mapped = f"{GENERATOR}latent_mapping.{name}"
        yield from _linear(rf"{ours}\.layout_in\.{number}", file, f"{mapped}.input_layer")
        yield from _linear(rf"{ours}\.layout_out\.{number}", file, f"{mapped}.out_layer")
    yield from _linear(rf"{ours}\.shape_in", file, f"{GENERATOR}latent_mapping.shape.input_layer")
    yield from _linear(rf"{ours}\.shape_out", file, f"{GENERATOR}latent_mapping.shape.out_layer")
    yield Rule(
        ours=rf"{ours}\.layout_position",
        file=file,
        theirs=tuple(f"{GENERATOR}latent_mapping.{name}.pos_emb" for name in LAYOUT),
        transform="stacked",
        together=True,
    )
    yield from _times(ours, file, {"time": "t_embedder", "step": "d_embedder"})
    block, theirs = rf"{ours}\.blocks\.(\d+)", GENERATOR + r"blocks.\1."
    yield from _linear(rf"{block}\.modulation", file, f"{theirs}adaLN_modulation.1")
    for stream, name in STREAMS.items():
        own = rf"{block}\.{stream}"
        for gain, norm in (("query_gain", "q_rms_norm"), ("key_gain", "k_rms_norm")):
            yield Rule(
                ours=rf"{own}\.{gain}",
                file=file,
                theirs=(f"{theirs}self_attn.{norm}.{name}.gamma",),
                transform="reshaped",
            )
        yield from _linear(rf"{own}\.qkv", file, f"{theirs}self_attn.to_qkv.{name}")
        yield from _linear(rf"{own}\.out", file, f"{theirs}self_attn.to_out.{name}")
        yield from _cross(own, file, norm=f"{theirs}norm2.{name}", cross=f"{theirs}cross_attn.{name}")
        yield from _mlp(own, file, f"{theirs}mlp.{name}.mlp")


def _texture() -> Iterator[Rule]:
    ours, file = "texture", SLAT_GENERATOR
    yield from _times(ours, file, {"time": "t_embedder"})
    yield from _linear(rf"{ours}\.from_latent", file, f"{GENERATOR}input_layer")
    yield from _linear(rf"{ours}\.to_velocity", file, f"{GENERATOR}out_layer")
    # Two residual blocks each way, the one next to the trunk changing resolution (io_blocks = 2).
    for name, official in (("enter.0", "input_blocks.0"), ("down", "input_blocks.1")):
        yield from _residual(f"{ours}.{name}", file, GENERATOR + official)
    for name, official in (("up", "out_blocks.0"), ("leave.0", "out_blocks.1")):
        yield from _residual(f"{ours}.{name}", file, GENERATOR + official)
    block, theirs = rf"{ours}\.blocks\.(\d+)", GENERATOR + r"blocks.\1."
    yield from _linear(rf"{block}\.modulation", file, f"{theirs}adaLN_modulation.1")
    for norm in ("query_norm", "key_norm"):
        official = f"{theirs}self_attn.{norm[0]}_rms_norm.gamma"
        yield Rule(ours=rf"{block}\.{norm}\.gain", file=file, theirs=(official,), transform="reshaped")
    yield from _linear(rf"{block}\.qkv", file, f"{theirs}self_attn.to_qkv")
    yield from _linear(rf"{block}\.out", file, f"{theirs}self_attn.to_out")
    yield from _cross(block, file, norm=f"{theirs}norm2", cross=f"{theirs}cross_attn")
    yield from _mlp(block, file, f"{theirs}mlp.mlp")


def _times(ours: str, file: str, names: Mapping[str, str]) -> Iterator[Rule]:
    for name, official in names.items():
        yield from _linear(rf"{ours}\.{name}\.net\.(0|2)", file, GENERATOR + official + r".mlp.\1")


def _cross(ours: str, file: str, *, norm: str, cross: str) -> Iterator[Rule]:
    yield from _linear(rf"{ours}\.cross_norm", file, norm)
    for name, official in (("query", "to_q"), ("key_value", "to_kv"), ("out", "to_out")):
        yield from _linear(rf"{ours}\.cross_{name}", file, f"{cross}.{official}")


def _mlp(ours: str, file: str, theirs: str) -> Iterator[Rule]:
    for layer in ("0", "2"):
        yield from _linear(rf"{ours}\.mlp\.{layer}", file, f"{theirs}.{layer}")


def _residual(ours: str, file: str, theirs: str) -> Iterator[Rule]:
    own = re.escape(ours)
    yield from _linear(rf"{own}\.norm", file, f"{theirs}.norm1")
    yield from _linear(rf"{own}\.modulation", file, f"{theirs}.emb_layers.1")
    yield from _linear(rf"{own}\.skip", file, f"{theirs}.skip_connection")
    for name, official in (("first", "conv1"), ("second", "conv2")):
        yield from _kernel(rf"{own}\.{name}\.linear", file, f"{theirs}.{official}")


def _kernel(ours: str, file: str, theirs: str) -> Iterator[Rule]:
    """A submanifold convolution: spconv keeps (out, x, y, z, in), which is ours with the offsets flattened."""
    return _linear(ours, file, f"{theirs}.conv", theirs, transform="reshaped")


def _structure() -> Iterator[Rule]:
    """Both halves of the occupancy autoencoder; blocks, and the layers between levels, count alike on both sides."""
    for half in ("encoder", "decoder"):
        ours, file = rf"ss_vae\.{half}", f"ss_{half}"
        certain = half == "decoder"  # no public code was seen that loads the encoder's file
        yield from _linear(rf"{ours}\.enter", file, "input_layer", certain=certain)
        yield from _linear(rf"{ours}\.norm", file, "out_layer.0", certain=certain)
        yield from _linear(rf"{ours}\.leave", file, "out_layer.2", certain=certain)
        for mine, theirs in (("levels", "blocks"), ("middle", "middle_block")):
            yield from _linear(
                rf"{ours}\.{mine}\.(\d+)\.(norm[12]|conv[12])", file, rf"{theirs}.\1.\2", certain=certain
            )
        yield from _linear(rf"{ours}\.levels\.(\d+)(?:\.conv)?", file, r"blocks.\1.conv", certain=certain)


def _structured_latent() -> Iterator[Rule]:
    trunks = (
        (r"slat_vae\.encoder", "slat_encoder", False),
        (r"slat_vae\.decoders\.0", "slat_decoder_mesh", True),
        (r"slat_vae\.decoders\.1", "slat_decoder_gs", True),
        (r"slat_vae\.decoders\.2", "slat_decoder_gs_4", True),
    )
    for ours, file, certain in trunks:
        yield from _linear(rf"{ours}\.embed", file, "input_layer", certain=certain)
        for name, official in (("qkv", "attn.to_qkv"), ("out", "attn.to_out")):
            yield from _linear(
                rf"{ours}\.blocks\.(\d+)\.{name}", file, rf"blocks.\1.{official}", certain=certain
            )
        yield from _linear(
            rf"{ours}\.blocks\.(\d+)\.mlp\.(0|2)", file, r"blocks.\1.mlp.mlp.\2", certain=certain
        )
    yield from _linear(r"slat_vae\.to_moments\.1", "slat_encoder", "out_layer", certain=False)
    for number, file in ((0, "slat_decoder_gs"), (1, "slat_decoder_gs_4")):
        yield from _linear(rf"slat_vae\.to_gaussians\.{number}\.out\.1", file, "out_layer")
    file, block = "slat_decoder_mesh", r"slat_vae\.to_surface\.finer\.(\d+)"
    yield from _linear(r"slat_vae\.to_surface\.out", file, "out_layer")
    yield from _linear(rf"{block}\.norm_in", file, r"upsample.\1.act_layers.0")
    yield from _linear(rf"{block}\.norm_out", file, r"upsample.\1.out_layers.1")
    yield from _kernel(rf"{block}\.conv_in\.linear", file, r"upsample.\1.out_layers.0")
    yield from _kernel(rf"{block}\.conv_out\.linear", file, r"upsample.\1.out_layers.3")
    yield from _kernel(rf"{block}\.skip", file, r"upsample.\1.skip_connection")
