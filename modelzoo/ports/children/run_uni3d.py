"""Child of the Uni3D scorer: models.uni3d.create_uni3d with a point ViT, and the open_clip model it was trained by.

Relies on ``create_uni3d(args)`` with the fields in ARGUMENTS, on ``encode_pc`` of (1, N, 6) xyz and rgb in [0, 1], on a
checkpoint whose "module" holds the weights, and on ``open_clip.create_model_and_transforms(model_name, pretrained)``
with ``encode_image``. Points are centred and scaled to the unit sphere; which way was up in its training is not stated,
Y is assumed, about which it turned them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from modelzoo.ports.children.foreign_side import Asked, array, called, needed, option
from modelzoo.ports.children.similarity import cosine, read_points, sphere

INSTALL = (
    "clone github.com/baaivision/Uni3D, install its requirements, pointnet2_ops and open_clip_torch in an environment "
    "of its own, and name the clone in paths"
)
#: Fields of the argument object by size (Uni3D's readme); the point ViT is timm's.
SIZES = {
    "giant": {"pc_model": "eva_giant_patch14_560.m30m_ft_in22k_in1k", "pc_feat_dim": 1408},
    "large": {"pc_model": "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k", "pc_feat_dim": 1024},
    "base": {"pc_model": "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", "pc_feat_dim": 768},
    "small": {"pc_model": "eva02_small_patch14_336.mim_in22k_ft_in1k", "pc_feat_dim": 384},
    "tiny": {"pc_model": "eva02_tiny_patch14_336.mim_in22k_ft_in1k", "pc_feat_dim": 192},
}
ARGUMENTS = {
    "pretrained_pc": "",
    "drop_path_rate": 0.0,
    "patch_dropout": 0.0,
    "num_group": 512,
    "group_size": 64,
    "pc_encoder_dim": 512,
    "embed_dim": 1024,
}
CLIP = "EVA02-E-14-plus"


def load(options: dict[str, Any]) -> Any:
    models = needed("models.uni3d", install=INSTALL)
    open_clip = needed("open_clip", install=INSTALL)
    torch = needed("torch", install=INSTALL)
    weights = option(options, "weights", meaning="Uni3D's model.pt")
    clip_weights = option(options, "clip_weights", meaning=f"open_clip's file of {CLIP}")
    device = options.get("device", "cuda")
    arguments = SimpleNamespace(**ARGUMENTS, **SIZES[options.get("size", "giant")])
    model = models.create_uni3d(arguments)
    state = torch.load(weights, map_location="cpu", weights_only=True)["module"]
    model.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    made, _ = called(
        open_clip.create_model_and_transforms,
        {"model_name": options.get("clip", CLIP), "pretrained": clip_weights},
        required=("model_name", "pretrained"),
    )
    clip, _, prepare = made
    return torch, device, model.to(device).eval(), clip.to(device).eval(), prepare


def generate(state: Any, asked: Asked) -> list[dict[str, Any]]:
    torch, device, model, clip, prepare = state
    points, colours = read_points(asked)
    cloud = np.concatenate([sphere(points), colours], axis=1)[None].astype(np.float32)
    with torch.no_grad():
        shape = model.encode_pc(torch.from_numpy(cloud).to(device))
        picture = clip.encode_image(prepare(asked.cut_out(size_factor=1.2, background=255))[None].to(device))
    return [{"similarity": cosine(array(shape)[0], array(picture)[0])}]
