"""Child of the MIDI port: midi.pipelines.pipeline_midi.MIDIPipeline, all masks of a photograph in one scene.

Relies on ``from_pretrained(path).to(device, dtype)``, ``init_custom_adapter(set_self_attn_module_names)`` and on the
call with ``image``, ``mask`` and ``image_scene`` (one picture per mask), ``attention_kwargs``, ``generator`` and
``return_dict=False``, which gives, per object, logits, grid size, and the box's size, minimum and maximum. All objects
share one frame, taken as Y-up as exported; there are no colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from modelzoo.ports.children.foreign_side import (
    Asked,
    ChildError,
    array,
    called,
    item,
    needed,
    option,
    write_mesh,
)

INSTALL = (
    "clone github.com/VAST-AI-Research/MIDI-3D, install its requirements in an environment of its own, and name the "
    "clone in paths"
)
SAMPLING = ("num_inference_steps", "guidance_scale")
ATTENDING = tuple(f"blocks.{index}" for index in range(8, 13))  # blocks in which objects see each other


def load(options: dict[str, Any]) -> Any:
    module = needed("midi.pipelines.pipeline_midi", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    needed("skimage.measure", install=INSTALL)
    weights = option(options, "weights", meaning="the folder of MIDI-3D")
    device = options.get("device", "cuda")
    precision = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    pipeline = module.MIDIPipeline.from_pretrained(weights).to(device, precision)
    called(
        pipeline.init_custom_adapter,
        {"set_self_attn_module_names": list(ATTENDING)},
        required=("set_self_attn_module_names",),
    )
    return torch, device, pipeline


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    torch, device, pipeline = state
    count = len(asked.masks)
    items = []
    for seed in asked.seeds:
        made, notes = called(
            pipeline.__call__,
            {
                "image": [_on_white(asked.image, mask) for mask in asked.masks],
                "mask": [Image.fromarray(mask.astype(np.uint8) * 255) for mask in asked.masks],
                "image_scene": [Image.fromarray(asked.image)] * count,
                "attention_kwargs": {"num_instances": count},
                "generator": torch.Generator(device=device).manual_seed(seed),
                "decode_progressive": True,
                "return_dict": False,
                **asked.chosen(SAMPLING),
            },
            required=("image", "mask", "image_scene", "attention_kwargs", "generator", "return_dict"),
        )
        objects = list(zip(*made))  # noqa: B905  foreign interpreters may be older than 3.10
        if len(objects) != count:
            raise ChildError("answer_incomplete", f"{count} masks gave {len(objects)} objects")
        for number, (logits, grid, size, low, _) in enumerate(objects):
            vertices, faces = _surface(array(logits), tuple(int(n) for n in grid))
            vertices = vertices / array(grid) * array(size) + array(low)
            file = write_mesh(asked, f"mesh_{seed}_{number}", vertices=vertices, faces=faces)
            items.append(item(seed, number=number, mesh=file, axes="y_up", fallbacks=notes))
    return items


def _on_white(image: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], image, np.uint8(255)))


def _surface(logits: np.ndarray[Any, Any], grid: tuple[int, ...]) -> tuple[Any, Any]:
    measure = needed("skimage.measure", install=INSTALL)
    field = logits.reshape(grid)
    if not (field > 0).any() or (field > 0).all():
        raise ChildError("no_surface", "an object of the scene has no surface")
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0)
    return vertices, faces
