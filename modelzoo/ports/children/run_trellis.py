"""Child of the TRELLIS port: trellis.pipelines.TrellisImageTo3DPipeline, from_pretrained(path) and run(image, ...).

``run`` takes the photograph first (named ``image`` or ``images``), ``seed``, ``formats``, ``preprocess_image`` and two
dicts of sampler parameters, and gives lists of a mesh (vertices, faces, vertex_attrs) and of Gaussians, both Z-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelzoo.ports.children.foreign_side import (
    Asked,
    called,
    first_supported,
    item,
    needed,
    option,
    refuse_empty,
    write_gaussians,
    write_mesh,
)

INSTALL = "clone github.com/microsoft/TRELLIS, run its setup.sh in an environment of its own, name the clone in paths"


def load(options: dict[str, Any]) -> Any:
    pipelines = needed("trellis.pipelines", install=INSTALL)
    weights = option(options, "weights", meaning="the folder of TRELLIS-image-large")
    pipeline = pipelines.TrellisImageTo3DPipeline.from_pretrained(weights)
    pipeline.to(needed("torch", install=INSTALL).device(options.get("device", "cuda")))
    return pipeline


def generate(pipeline: Any, asked: Asked) -> list[dict[str, Any]]:
    photograph = first_supported(pipeline.run, ("images", "image"))
    wanted = {photograph: asked.rgba(), "formats": ["mesh", "gaussian"], "preprocess_image": True}
    required = (photograph, "seed", "formats")
    items = []
    for seed in asked.seeds:
        made, notes = trellis_run(pipeline, asked, seed, wanted, required=required)
        items.append(trellis_item(asked, seed, made, notes=notes))
    return items


def trellis_run(
    pipeline: Any, asked: Asked, seed: int, wanted: Mapping[str, Any], *, required: Sequence[str]
) -> tuple[Any, tuple[str, ...]]:
    """What a pipeline of TRELLIS' family gives for one seed with the asked sampler parameters, and what to note."""
    made, notes = called(
        pipeline.run,
        {
            **wanted,
            "seed": seed,
            "sparse_structure_sampler_params": dict(asked.options.get("structure_sampler", {})),
            "slat_sampler_params": dict(asked.options.get("latent_sampler", {})),
        },
        required=required,
    )
    # Its own background removal starts when the alpha channel hides nothing.
    return made, (*notes, *(("background_removed_by_source",) if asked.mask.all() else ()))


def trellis_item(asked: Asked, seed: int, made: Any, *, notes: tuple[str, ...]) -> dict[str, Any]:
    """One candidate of what a pipeline of TRELLIS' family gave: its first mesh and, if there are any, its Gaussians."""
    mesh = made["mesh"][0]
    refuse_empty(seed, mesh.faces if getattr(mesh, "success", True) else None)
    attributes = getattr(mesh, "vertex_attrs", None)
    gaussians = made.get("gaussian")
    return item(
        seed,
        mesh=write_mesh(asked, f"mesh_{seed}", vertices=mesh.vertices, faces=mesh.faces, colours=attributes),
        axes="z_up",
        gaussians=write_gaussians(asked, f"gaussians_{seed}", gaussians[0]) if gaussians else None,
        fallbacks=notes,
    )
