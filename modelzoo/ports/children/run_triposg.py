"""Child of the TripoSG port: triposg.pipelines.pipeline_triposg.TripoSGPipeline.

Relies on ``from_pretrained(path).to(device, dtype)`` and on the call with ``image`` (the object on white),
``generator``, ``num_inference_steps`` and ``guidance_scale``, whose ``samples[0]`` is (vertices, faces). No colours;
taken as Y-up, as it is exported.
"""

from __future__ import annotations

from typing import Any

from modelzoo.ports.children.foreign_side import (
    Asked,
    ChildError,
    array,
    item,
    needed,
    option,
    supported,
    write_mesh,
)

INSTALL = (
    "clone github.com/VAST-AI-Research/TripoSG, install its requirements in an environment of its own, and name the "
    "clone in paths"
)
SAMPLING = ("num_inference_steps", "guidance_scale", "use_flash_decoder")
ROOM = 1.25  # the object fills four fifths of the picture, as the model was shown it


def load(options: dict[str, Any]) -> Any:
    pipelines = needed("triposg.pipelines.pipeline_triposg", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    weights = option(options, "weights", meaning="the folder of TripoSG")
    device = options.get("device", "cuda")
    precision = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    return torch, device, pipelines.TripoSGPipeline.from_pretrained(weights).to(device, precision)


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    torch, device, pipeline = state
    photograph = asked.cut_out(size_factor=ROOM, background=255)
    items = []
    for seed in asked.seeds:
        arguments, dropped = supported(
            pipeline.__call__,
            {
                "image": photograph,
                "generator": torch.Generator(device=device).manual_seed(seed),
                **{name: asked.options[name] for name in SAMPLING if name in asked.options},
            },
            required=("image", "generator"),
        )
        vertices, faces = pipeline(**arguments).samples[0]
        if vertices is None or not len(array(faces)):
            raise ChildError("no_surface", f"the model found no surface for seed {seed}")
        items.append(
            item(
                seed,
                mesh=write_mesh(asked, f"mesh_{seed}", vertices=vertices, faces=faces),
                axes="y_up",
                fallbacks=[*(f"argument_ignored_{name}" for name in dropped)],
            )
        )
    return items
