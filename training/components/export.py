"""Puts the parts of one model together as a checkpoint: geometry, occupancy VAE, structured latent and texture."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from modelzoo.checkpoint import Lineage, Manifest, StateDict, assemble
from modelzoo.presets import preset_named
from modelzoo.registry import preset_config
from modelzoo.serving import golden_outputs
from modelzoo.vae.sparse_structure import SparseStructureVAE


def export_checkpoint(
    *,
    folder: Path,
    preset: str,
    geometry: StateDict,
    ss_vae: StateDict,
    slat_vae_file: Path,
    texture_file: Path,
    lineage: Lineage,
    parent: str | None = None,
) -> Manifest:
    """Write the checkpoint folder with golden outputs of exactly the weights it holds."""
    known = SparseStructureVAE(preset_named(preset).geometry.structure).state_dict()
    components = {
        "geometry": geometry,
        "ss_vae": {name: value for name, value in ss_vae.items() if name in known},
        "slat_vae": load_file(slat_vae_file),
        "texture": load_file(texture_file),
    }
    return assemble(
        components,
        folder=folder,
        preset=preset,
        config=preset_config(preset_named(preset)),
        lineage=lineage,
        parent=parent,
        golden=golden_outputs(components, preset),
    )
