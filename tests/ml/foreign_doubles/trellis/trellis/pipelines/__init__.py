"""A stand-in for trellis.pipelines: what its class takes and gives."""

import os
import sys
import time

import numpy as np
from box import COLOURS, FACES, VERTICES
from PIL import Image
from torch import Tensor


class MeshExtractResult:
    def __init__(self, vertices, faces, vertex_attrs=None, res=64):
        self.vertices, self.faces, self.vertex_attrs = Tensor(vertices), Tensor(faces), Tensor(vertex_attrs)
        self.success = len(faces) > 0


class Gaussian:
    """Eight Gaussians at the box's corners; values are activated by the getters, as theirs are."""

    @property
    def get_xyz(self):
        return Tensor(VERTICES.astype(np.float16))

    @property
    def get_scaling(self):
        return Tensor(np.tile([0.01, 0.02, 0.03], (8, 1)))

    @property
    def get_rotation(self):
        return Tensor(np.tile([2.0, 0.0, 0.0, 0.0], (8, 1)))

    @property
    def get_opacity(self):
        return Tensor(np.full((8, 1), 0.5))

    @property
    def get_features(self):
        return Tensor((COLOURS - 0.5)[:, None] / 0.28209479177387814)


class TrellisImageTo3DPipeline:
    @staticmethod
    def from_pretrained(path: str) -> "TrellisImageTo3DPipeline":
        made = TrellisImageTo3DPipeline()
        made.path, made.calls = path, 0
        print("loading", path)  # noqa: T201  foreign packages talk on standard output
        return made

    def to(self, device):
        assert device.type == "cuda"

    def run(
        self,
        image: Image.Image,
        num_samples: int = 1,
        seed: int = 42,
        sparse_structure_sampler_params: dict = {},  # noqa: B006  as theirs
        slat_sampler_params: dict = {},  # noqa: B006  as theirs
        formats: list = ["mesh", "gaussian", "radiance_field"],  # noqa: B006  as theirs
        preprocess_image: bool = True,
    ) -> dict:
        assert image.mode == "RGBA" and preprocess_image and formats == ["mesh", "gaussian"]
        assert set(np.unique(np.asarray(image)[..., 3])) == {0, 255}
        assert sparse_structure_sampler_params == {"steps": 12}
        print("sampling")  # noqa: T201  as theirs
        self.calls += 1
        vertices = VERTICES + 0.001 * seed
        if self.path == "dies":
            print("out of memory, they say", file=sys.stderr, flush=True)  # noqa: T201  as theirs
            os._exit(3)
        if self.path == "sleeps" and self.calls == 1:
            time.sleep(30)
        if self.path == "raises":
            raise RuntimeError("no kernel image is available")
        if self.path == "not finite":
            vertices = np.where(VERTICES > 0.5, np.nan, VERTICES)
        mesh = MeshExtractResult(vertices, FACES, np.concatenate([COLOURS, COLOURS], axis=1))
        return {"mesh": [mesh], "gaussian": [Gaussian()]}
