"""The models of a preset, built by name and filled from a checkpoint's components."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from modelzoo.checkpoint import CheckpointRefused, Manifest, StateDict, load
from modelzoo.models.geometry import GeometryModel
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.presets import ModelPreset, preset_named
from modelzoo.vae.sparse_structure import SparseStructureVAE
from modelzoo.vae.structured_latent import StructuredLatentVAE

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Models:
    """The four models that make candidates, ready for use."""

    preset: ModelPreset
    geometry: GeometryModel
    ss_vae: SparseStructureVAE
    slat_vae: StructuredLatentVAE
    texture: TextureFlow

    def components(self) -> dict[str, StateDict]:
        """State dicts under the names that a checkpoint uses."""
        return {name: module.state_dict() for name, module in self.modules().items()}

    def modules(self) -> dict[str, nn.Module]:
        """The models themselves, under the same names."""
        return {
            "geometry": self.geometry,
            "ss_vae": self.ss_vae,
            "slat_vae": self.slat_vae,
            "texture": self.texture,
        }


def preset_config(preset: ModelPreset) -> dict[str, Any]:
    """The sizes as a checkpoint's manifest states them, in JSON's own types."""
    stated: dict[str, Any] = json.loads(json.dumps(asdict(preset)))
    return stated


def build(name: str, *, seed: int = 0) -> Models:
    """Untrained models; their first weights follow from ``seed`` and disturb no other random numbers."""
    preset = preset_named(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Models(
            preset=preset,
            geometry=GeometryModel(preset.geometry),
            ss_vae=SparseStructureVAE(preset.geometry.structure),
            slat_vae=StructuredLatentVAE(preset.latent),
            texture=TextureFlow(preset.texture, preset.latent),
        )


def emptied(preset: ModelPreset) -> Models:
    """Models whose weights hold no memory, to be filled one at a time; made one at a time too."""
    with torch.random.fork_rng(devices=[]):
        return Models(
            preset=preset,
            geometry=_without_weights(GeometryModel(preset.geometry)),
            ss_vae=_without_weights(SparseStructureVAE(preset.geometry.structure)),
            slat_vae=_without_weights(StructuredLatentVAE(preset.latent)),
            texture=_without_weights(TextureFlow(preset.texture, preset.latent)),
        )


def models_from_components(
    components: dict[str, StateDict], manifest: Manifest, *, device: str | torch.device = "cpu"
) -> Models:
    """Models with a checkpoint's weights, in evaluation mode and without gradients. Raises CheckpointRefused."""
    return fill(build(config_checked(manifest).name), components, device=device)


def config_checked(manifest: Manifest) -> ModelPreset:
    """The preset that the checkpoint was made for. Raises CheckpointRefused when it has other sizes here."""
    try:
        preset = preset_named(manifest.preset)
    except ValueError as error:
        raise CheckpointRefused("preset_unknown", str(error)) from error
    if manifest.config != preset_config(preset):
        raise CheckpointRefused(
            "config_mismatch", f"preset {manifest.preset} has other sizes here than the checkpoint"
        )
    return preset


def fill(models: Models, components: dict[str, StateDict], *, device: str | torch.device = "cpu") -> Models:
    """The models with these weights, in evaluation mode and without gradients. Raises CheckpointRefused."""
    for name, module in models.modules().items():
        if name not in components:
            raise CheckpointRefused("component_missing", f"the checkpoint has no {name}")
        try:
            module.load_state_dict(components[name])
        except RuntimeError as error:
            raise CheckpointRefused("weights_do_not_fit", f"{name}: {error}") from error
        module.to(device).eval().requires_grad_(False)
    return models


def load_models(
    folder: Path, *, device: str | torch.device = "cpu", expected_sha256: str | None = None
) -> tuple[Manifest, Models]:
    """Models of a verified checkpoint folder."""
    manifest, components = load(folder, expected_sha256=expected_sha256)
    return manifest, models_from_components(components, manifest, device=device)


def _without_weights(module: Module) -> Module:
    """What the state dict leaves out, tables that follow from the sizes, keeps its values."""
    empty = {name: value.to("meta") for name, value in module.state_dict().items()}
    module.load_state_dict(empty, assign=True)
    return module
