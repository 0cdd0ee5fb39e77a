"""Child of the Direct3D-S2 port: direct3d_s2.pipeline.Direct3DS2Pipeline.

Relies on ``from_pretrained(path)``, ``to(device)`` and on the call with ``image`` (RGBA), ``sdf_resolution``,
``remesh`` and ``generator``, which gives ``{"mesh": trimesh object}``. No colours; taken as Y-up, which nothing states.
"""

from __future__ import annotations

from typing import Any

from modelzoo.ports.children.foreign_side import Asked, called, item, needed, option, refuse_empty, write_mesh

INSTALL = (
    "clone github.com/DreamTechAI/Direct3D-S2, install torchsparse and its requirements in an environment of its own, "
    "and pip install the clone"
)
SAMPLING = ("sdf_resolution", "remesh", "simplify_ratio", "mc_threshold")


def load(options: dict[str, Any]) -> Any:
    module = needed("direct3d_s2.pipeline", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    weights = option(
        options, "weights", meaning="the folder that holds config.yaml and the model_*.ckpt files"
    )
    pipeline = module.Direct3DS2Pipeline.from_pretrained(weights)
    device = options.get("device", "cuda")
    pipeline.to(device)
    return torch, device, pipeline


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    torch, device, pipeline = state
    items = []
    for seed in asked.seeds:
        made, notes = called(
            pipeline.__call__,
            {
                "image": asked.rgba(),
                "generator": torch.Generator(device=device).manual_seed(seed),
                **asked.chosen(SAMPLING),
            },
            required=("image",),
        )
        mesh = made["mesh"]
        refuse_empty(seed, getattr(mesh, "faces", None))
        file = write_mesh(asked, f"mesh_{seed}", vertices=mesh.vertices, faces=mesh.faces)
        items.append(item(seed, mesh=file, axes="y_up", fallbacks=notes))
    return items
