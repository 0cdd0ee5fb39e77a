"""Child of the Hi3DGen port: hi3dgen.pipelines.Hi3DGenPipeline over normals from StableNormal's torch.hub entry.

Relies on ``from_pretrained(path)``, ``preprocess_image(image, resolution)``, ``run(normals, seed, formats,
preprocess_image, ...)`` and on the hub entry ``StableNormal_turbo``, called with ``resolution``,
``match_input_resolution`` and ``data_type``. The mesh is Z-up and has no colours.
"""

from __future__ import annotations

from typing import Any

from modelzoo.ports.children.foreign_side import Asked, first_supported, needed, option, supported
from modelzoo.ports.children.run_trellis import trellis_item, trellis_run

INSTALL = (
    "clone github.com/Stable-X/Hi3DGen and the StableNormal hub repository into an environment of their own, "
    "name the first in paths and the second as the option normal_repository"
)


def load(options: dict[str, Any]) -> Any:
    pipelines = needed("hi3dgen.pipelines", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    device = torch.device(options.get("device", "cuda"))
    weights = option(options, "weights", meaning="the folder of trellis-normal-v0-1")
    pipeline = pipelines.Hi3DGenPipeline.from_pretrained(weights)
    pipeline.to(device)
    normals = torch.hub.load(
        option(options, "normal_repository", meaning="a local clone of the StableNormal hub repository"),
        options.get("normal_entry", "StableNormal_turbo"),
        source="local",
        trust_repo=True,
        yoso_version=options.get("normal_version", "yoso-normal-v1-8-1"),
        local_cache_dir=option(
            options, "normal_weights", meaning="the folder that holds the normal model's weights"
        ),
    )
    return pipeline, normals


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    pipeline, normals = state
    prepared, _ = supported(pipeline.preprocess_image, {"resolution": 1024})
    photograph = pipeline.preprocess_image(asked.rgba(), **prepared)
    how, _ = supported(normals, {"resolution": 768, "match_input_resolution": True, "data_type": "object"})
    first = first_supported(pipeline.run, ("image", "images"))
    wanted = {first: normals(photograph, **how), "formats": ["mesh"], "preprocess_image": False}
    required = (first, "seed", "preprocess_image")
    items = []
    for seed in asked.seeds:
        made, notes = trellis_run(pipeline, asked, seed, wanted, required=required)
        made["mesh"][0].vertex_attrs = None  # they hold decoded normals, not colours
        items.append(trellis_item(asked, seed, made, notes=notes))
    return items
