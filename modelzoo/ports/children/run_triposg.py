"""Child of the TripoSG port: triposg.pipelines.pipeline_triposg.TripoSGPipeline.

Relies on ``from_pretrained(path).to(device, dtype)`` and on the call with ``image`` (the object on white),
``generator``, ``num_inference_steps`` and ``guidance_scale``, whose ``samples[0]`` is (vertices, faces). No colours;
taken as Y-up, as it is exported.
"""

from __future__ import annotations

from typing import Any

from modelzoo.ports.children.foreign_side import Asked, called, item, needed, option, refuse_empty, write_mesh

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
        made, notes = called(
            pipeline.__call__,
            {
                "image": photograph,
                "generator": torch.Generator(device=device).manual_seed(seed),
                **asked.chosen(SAMPLING),
            },
            required=("image", "generator"),
        )
        vertices, faces = made.samples[0]
        refuse_empty(seed, faces)
        file = write_mesh(asked, f"mesh_{seed}", vertices=vertices, faces=faces)
        items.append(item(seed, mesh=file, axes="y_up", fallbacks=notes))
    return items
