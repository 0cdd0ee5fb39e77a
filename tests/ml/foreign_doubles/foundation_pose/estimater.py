"""A stand-in for FoundationPose's estimater: it knows the pose, and checks that depth and mesh are metres."""

from pathlib import Path

import numpy as np
from torch import Tensor

ROTATION = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
TRANSLATION = np.array([0.05, -0.02, 1.1])


class ScorePredictor:
    pass


class PoseRefinePredictor:
    pass


class FoundationPose:
    def __init__(
        self,
        model_pts,
        model_normals,
        symmetry_tfs=None,
        mesh=None,
        scorer=None,
        refiner=None,
        glctx=None,
        debug=0,
        debug_dir="/nowhere",
    ):
        assert isinstance(scorer, ScorePredictor) and isinstance(refiner, PoseRefinePredictor)
        assert len(model_pts) == len(model_normals) == len(mesh.vertices)
        self.centre, self.poses = (model_pts.min(axis=0) + model_pts.max(axis=0)) / 2, None
        Path(debug_dir).mkdir(parents=True, exist_ok=True)

    def get_tf_to_centered_mesh(self):
        matrix = np.eye(4)
        matrix[:3, 3] = -self.centre
        return Tensor(matrix)

    def register(self, K, rgb, depth, ob_mask, ob_id=None, glctx=None, iteration=5):
        assert K.shape == (3, 3) and rgb.dtype == np.uint8 and ob_mask.dtype == bool
        known = depth[ob_mask & (depth > 0)]
        assert depth.dtype == np.float32 and 0.5 < np.median(known) < 2.0, np.median(known)
        assert np.isfinite(depth).all()
        first, second = np.eye(4), np.eye(4)
        for matrix, turn in ((first, ROTATION), (second, ROTATION.T)):
            matrix[:3, :3], matrix[:3, 3] = turn, TRANSLATION
        self.poses = Tensor(np.stack([first, second]))
        return Tensor(first @ self.get_tf_to_centered_mesh().cpu().numpy())
