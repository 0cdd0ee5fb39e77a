"""What the official package took over from TRELLIS: the results of its decoders."""

import numpy as np
from box import COLOURS, VERTICES
from torch import Tensor


class MeshExtractResult:
    def __init__(self, vertices, faces, vertex_attrs):
        self.vertices, self.faces, self.vertex_attrs = Tensor(vertices), Tensor(faces), Tensor(vertex_attrs)
        self.success, self.res = True, 256


class Gaussian:
    get_xyz = Tensor(VERTICES)
    get_scaling = Tensor(np.tile([0.01, 0.02, 0.03], (8, 1)))
    get_rotation = Tensor(np.tile([0.0, 0.0, 3.0, 0.0], (8, 1)))
    get_opacity = Tensor(np.full((8, 1), 0.25))
    get_features = Tensor((COLOURS - 0.5)[:, None] / 0.28209479177387814)
