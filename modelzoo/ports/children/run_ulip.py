"""Child of the ULIP-2 scorer: models.ULIP_models.ULIP2_PointBERT_Colored, which brings its open_clip model along.

Relies on the factory's ``args`` (it reads ``evaluate_3d``), on ``encode_pc`` of (1, N, 6) xyz and rgb in [0, 1] and
``encode_image``, and on a checkpoint whose "state_dict" holds the weights. The factory asks open_clip for weights by
name: they must lie in its cache already. Points are centred and scaled to the unit sphere; which way was up in its
training is not stated, Y is assumed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from modelzoo.ports.children.foreign_side import Asked, array, needed, option
from modelzoo.ports.children.similarity import cosine, read_points, sphere

INSTALL = (
    "clone github.com/salesforce/ULIP, install its requirements and open_clip_torch in an environment of its own with "
    "torch 2.5 or later, name the clone in paths, and fetch open_clip's ViT-bigG-14 laion2b_s39b_b160k once"
)
NORMALISED = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)  # open_clip's pictures
SIDE = 224


def load(options: dict[str, Any]) -> Any:
    models = needed("models.ULIP_models", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    weights = option(options, "weights", meaning="ULIP-2's PointBERT checkpoint (.pt)")
    device = options.get("device", "cuda")
    os.chdir(Path(str(models.__file__)).resolve().parents[1])  # it reads its yaml files relative to its clone
    model = models.ULIP2_PointBERT_Colored(SimpleNamespace(evaluate_3d=True, npoints=8192))
    with torch.serialization.safe_globals([argparse.Namespace]):  # it holds its training's arguments
        state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({name.replace("module.", ""): value for name, value in state.items()})
    return torch, device, model.to(device).eval()


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    torch, device, model = state
    points, colours = read_points(asked)
    cloud = np.concatenate([sphere(points), colours], axis=1)[None].astype(np.float32)
    with torch.no_grad():
        shape = model.encode_pc(torch.from_numpy(cloud).to(device))
        picture = model.encode_image(torch.from_numpy(_picture(asked)).to(device))
    return [{"similarity": cosine(array(shape)[0], array(picture)[0])}]


def _picture(asked: Asked) -> np.ndarray[Any, Any]:
    """1 x 3 x 224 x 224, as CLIP's own transform makes it of a square picture."""
    small = asked.cut_out(size_factor=1.2, background=255).resize((SIDE, SIDE), 3)  # bicubic
    mean, spread = (np.array(values, np.float32) for values in NORMALISED)
    levels = (np.asarray(small, np.float32) / 255.0 - mean) / spread
    return np.ascontiguousarray(levels.transpose(2, 0, 1)[None])
