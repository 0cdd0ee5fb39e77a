"""Child of the FoundationPose port: estimater.FoundationPose with its scorer and refiner, one registration a request.

Relies on the names that ``estimater`` holds (FoundationPose, ScorePredictor, PoseRefinePredictor), on
``FoundationPose(model_pts, model_normals, mesh, scorer, refiner, glctx, debug, debug_dir)``, on
``register(K, rgb, depth, ob_mask, iteration)``, and on the ranked ``poses`` and ``get_tf_to_centered_mesh`` where they
exist. Metres, OpenCV camera, 4 x 4 column-vector poses of the mesh as it was given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelzoo.ports.children.foreign_side import Asked, ChildError, array, called, needed

INSTALL = (
    "clone github.com/NVlabs/FoundationPose, build it and fetch its weights as its readme says, and name the clone in "
    "paths"
)


def load(options: dict[str, Any]) -> Any:
    estimater = needed("estimater", install=INSTALL)
    rasteriser = needed("nvdiffrast.torch", install=INSTALL)
    for name in ("FoundationPose", "ScorePredictor", "PoseRefinePredictor"):
        if not hasattr(estimater, name):
            raise ChildError("signature_changed", f"estimater holds no {name}")
    return (
        estimater,
        needed("trimesh", install=INSTALL),
        estimater.ScorePredictor(),
        estimater.PoseRefinePredictor(),
        rasteriser.RasterizeCudaContext(),
    )


def layouts(state: Any, asked: Asked) -> list[dict[str, Any]]:
    estimater, trimesh, scorer, refiner, context = state
    if asked.points is None or asked.intrinsics is None:
        raise ChildError("depth_missing", "FoundationPose needs the depth of the photograph and its camera")
    mesh = trimesh.Trimesh(
        asked.shape["vertices"], asked.shape["faces"], vertex_colors=_bytes(asked.shape), process=False
    )
    estimator, _ = called(
        estimater.FoundationPose,
        {
            "model_pts": mesh.vertices.copy(),
            "model_normals": mesh.vertex_normals.copy(),
            "mesh": mesh,
            "scorer": scorer,
            "refiner": refiner,
            "glctx": context,
            "debug": 0,
            "debug_dir": str(asked.folder / "debug"),
        },
        required=("model_pts", "model_normals", "mesh"),
    )
    camera = asked.intrinsics
    depth = np.nan_to_num(asked.points[..., 2], nan=0.0, posinf=0.0, neginf=0.0)
    registered, _ = called(
        estimator.register,
        {
            "K": np.array([[camera["fx"], 0, camera["cx"]], [0, camera["fy"], camera["cy"]], [0, 0, 1.0]]),
            "rgb": asked.image,
            "depth": depth.astype(np.float32),
            "ob_mask": asked.mask,
            "iteration": int(asked.options.get("iterations", 5)),
        },
        required=("K", "rgb", "depth", "ob_mask"),
    )
    best = array(registered).reshape(4, 4)
    ranked = _ranked(estimator, best)
    return [
        {"seed": seed, "matrix": ranked[min(place, len(ranked) - 1)].tolist()}
        for place, seed in enumerate(asked.seeds)
    ]


def _ranked(estimator: Any, best: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The registered pose first, then the other hypotheses by score, of the mesh as it was given."""
    if getattr(estimator, "poses", None) is None or not hasattr(estimator, "get_tf_to_centered_mesh"):
        return [best]
    centre = array(estimator.get_tf_to_centered_mesh())
    others = array(estimator.poses).reshape(-1, 4, 4)[1:]
    return [best, *(pose @ centre for pose in others)]


def _bytes(shape: Any) -> Any:
    colours = shape.get("colours")
    return None if colours is None else np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)
