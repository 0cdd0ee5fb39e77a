"""Child of the Hunyuan3D-2 port: hy3dgen.shapegen.Hunyuan3DDiTFlowMatchingPipeline, and its paint pipeline when asked.

Relies on ``from_pretrained(path, subfolder, device)`` and on the call with ``image`` (RGBA), ``generator``,
``num_inference_steps``, ``guidance_scale``, ``octree_resolution`` and ``output_type``, which gives a list of trimesh
objects; painting is ``hy3dgen.texgen.Hunyuan3DPaintPipeline.from_pretrained(path)(mesh, image=...)``. Taken as Y-up, as
it is exported.
"""

from __future__ import annotations

from typing import Any

from modelzoo.ports.children.foreign_side import (
    Asked,
    called,
    item,
    needed,
    option,
    refuse_empty,
    supported,
    write_trimesh,
)

INSTALL = (
    "clone github.com/Tencent-Hunyuan/Hunyuan3D-2 and pip install it in an environment of its own (and its texgen "
    "extensions, for painting)"
)
LOADING: tuple[str, ...] = ("subfolder", "device")
SAMPLING = ("num_inference_steps", "guidance_scale", "octree_resolution")


def load(options: dict[str, Any]) -> Any:
    shapegen = needed("hy3dgen.shapegen", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    weights = option(
        options, "weights", meaning="the folder of Hunyuan3D-2, or its name for the package's own cache"
    )
    build = shapegen.Hunyuan3DDiTFlowMatchingPipeline.from_pretrained
    wanted = {name: options[name] for name in LOADING if name in options}
    shape = build(weights, **supported(build, wanted)[0])
    paint = None
    if options.get("paint"):
        texgen = needed("hy3dgen.texgen", install=INSTALL)
        paint = texgen.Hunyuan3DPaintPipeline.from_pretrained(weights)
    return torch, shape, paint


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    torch, shape, paint = state
    photograph = asked.rgba()
    items = []
    for seed in asked.seeds:
        made, notes = called(
            shape.__call__,
            {
                "image": photograph,
                "generator": torch.manual_seed(seed),
                "output_type": "trimesh",
                **asked.chosen(SAMPLING),
            },
            required=("image", "generator"),
        )
        while isinstance(made, (list, tuple)):
            made = made[0]
        refuse_empty(seed, getattr(made, "faces", None))
        if paint is not None:
            made = paint(made, image=photograph)
        file = write_trimesh(asked, f"mesh_{seed}", made)
        items.append(item(seed, mesh=file, axes="y_up", fallbacks=notes))
    return items
