"""Parameters and tokens of every preset, part by part, counted on the meta device: no memory is taken for weights."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from modelzoo.encoders.condition import ConditionEncoder
from modelzoo.models.geometry import LAYOUT_SIZES, GeometryModel
from modelzoo.models.probes import TOKEN_STRIDE
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.presets import PRESETS, ModelPreset, TexturePreset
from modelzoo.vae.sparse_structure import SparseStructureVAE
from modelzoo.vae.structured_latent import StructuredLatentVAE

Parts = dict[str, int]
LAYOUT_ENDS, SHAPE_ENDS = ("layout_in", "layout_out", "layout_position"), ("shape_in", "shape_out")


@dataclass(frozen=True, kw_only=True)
class PresetCounts:
    """``parameters`` by model and part of it; ``tokens`` by sequence. Models share nothing, so that totals add up."""

    preset: str
    parameters: dict[str, Parts]
    tokens: Parts

    def total(self, model: str) -> int:
        """Parameters of one model."""
        return sum(self.parameters[model].values())

    def document(self) -> dict[str, object]:
        """As ``--json`` prints it: every model's parts with their total."""
        models = {model: {**parts, "total": self.total(model)} for model, parts in self.parameters.items()}
        return {"parameters": models, "tokens": self.tokens}


def counts_of(preset: ModelPreset) -> PresetCounts:
    """Builds the preset's models without weights and counts them."""
    with torch.device("meta"):
        geometry = GeometryModel(preset.geometry)
        structure = SparseStructureVAE(preset.geometry.structure)
        latent = StructuredLatentVAE(preset.latent)
        texture = TextureFlow(preset.texture, preset.latent)
    parameters = {
        "geometry_flow": _geometry_parts(geometry),
        "geometry_condition": _condition_parts(geometry.encoder),
        "structure_vae": {"encoder": _count(structure.encoder), "decoder": _count(structure.decoder)},
        "latent_vae": _latent_parts(latent),
        "texture_flow": _texture_parts(texture),
    }
    if texture.condition_encoder is not None:
        parameters["texture_condition"] = _condition_parts(texture.condition_encoder)
    if texture.probe_encoder is not None:
        parameters["texture_probes"] = {"all": _count(texture.probe_encoder)}
    tokens = {
        "geometry_condition": preset.geometry.condition.num_tokens,
        "texture_condition": _texture_tokens(preset.texture),
        "shape": preset.geometry.num_shape_tokens,
        "layout": len(LAYOUT_SIZES),
    }
    return PresetCounts(preset=preset.name, parameters=parameters, tokens=tokens)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the counts of the presets named on the command line, or of all."""
    parser = argparse.ArgumentParser(prog="python -m modelzoo.presets", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(PRESETS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="exact numbers, as one JSON object")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in PRESETS]
    if unknown:
        parser.error(f"no preset {', '.join(unknown)}; there are {', '.join(PRESETS)}")
    counts = [counts_of(PRESETS[name]) for name in given.names or PRESETS]
    if given.json:
        text = json.dumps({one.preset: one.document() for one in counts}, indent=2)
    else:
        text = "\n".join(line for one in counts for line in _lines(one))
    sys.stdout.write(text + "\n")
    return 0


def _geometry_parts(model: GeometryModel) -> Parts:
    def own(stream: str, ends: tuple[str, ...]) -> tuple[int, int]:
        named = [(name, parameter.numel()) for name, parameter in model.named_parameters()]
        inner = sum(size for name, size in named if name.startswith("blocks.") and f".{stream}." in name)
        return inner, sum(size for name, size in named if name.startswith(ends))

    (shape, shape_ends), (layout, layout_ends) = own("shape", SHAPE_ENDS), own("layout", LAYOUT_ENDS)
    return {
        "shape_stream": shape,
        "layout_stream": layout,
        "shared": _sum(model.part("shared")),
        "inputs_and_outputs": shape_ends + layout_ends,
    }


def _condition_parts(encoder: ConditionEncoder) -> Parts:
    embedders = {
        f"{own.kind}_{own.reads}": _count(module)
        for own, module in zip(encoder.preset.embedders, encoder.embedders, strict=True)
    }
    return {**embedders, "fuser": _count(encoder.fuser)}


def _latent_parts(model: StructuredLatentVAE) -> Parts:
    encoder = _count(model.encoder) + _count(model.to_moments)
    surface, *others = (_count(trunk) for trunk in model.decoders)
    heads = {
        f"gaussian_decoder_{number}": _count(head)
        for number, head in zip(model.preset.gaussians, model.to_gaussians, strict=True)
    }
    if not others:  # one trunk serves them all
        return {"encoder": encoder, "decoder": surface, "surface_head": _count(model.to_surface), **heads}
    decoders = {name: size + trunk for (name, size), trunk in zip(heads.items(), others, strict=True)}
    return {"encoder": encoder, "surface_decoder": surface + _count(model.to_surface), **decoders}


def _texture_parts(model: TextureFlow) -> Parts:
    trunk = _count(model.blocks)
    outside = [part for part in (model.condition_encoder, model.probe_encoder) if part is not None]
    return {"trunk": trunk, "outer_blocks": _count(model) - trunk - sum(map(_count, outside))}


def _texture_tokens(preset: TexturePreset) -> int:
    if preset.condition is not None:
        return preset.condition.num_tokens
    return (preset.view // TOKEN_STRIDE) ** 2


def _lines(counts: PresetCounts) -> Iterator[str]:
    yield counts.preset
    for model, parts in counts.parameters.items():
        detail = ", ".join(f"{part} {_millions(size)}" for part, size in parts.items())
        yield f"  {model:<20} {_millions(counts.total(model)):>9} M  ({detail})"
    yield "  tokens               " + ", ".join(f"{name} {count}" for name, count in counts.tokens.items())


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}"


def _count(module: nn.Module) -> int:
    return _sum(module.parameters())


def _sum(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
