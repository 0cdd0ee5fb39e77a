"""A stand-in for hi3dgen.pipelines: what its class takes and gives."""

import numpy as np
from box import FACES, VERTICES
from torch import Tensor


class MeshExtractResult:
    def __init__(self):
        self.vertices, self.faces = Tensor(VERTICES), Tensor(FACES)
        self.vertex_attrs, self.success = (
            Tensor(np.zeros((8, 3))),
            True,
        )  # normals, of which nobody wants colours


class Hi3DGenPipeline:
    @staticmethod
    def from_pretrained(path: str) -> "Hi3DGenPipeline":
        return Hi3DGenPipeline()

    def to(self, device):
        pass

    def preprocess_image(self, input, resolution=518):
        assert input.mode == "RGBA" and resolution == 1024
        return input

    def run(
        self,
        image,
        num_samples: int = 1,
        seed: int = 42,
        sparse_structure_sampler_params: dict = {},  # noqa: B006  as theirs
        slat_sampler_params: dict = {},  # noqa: B006  as theirs
        formats: list = ["mesh"],  # noqa: B006  as theirs
        preprocess_image: bool = True,
    ) -> dict:
        assert image.is_normals and not preprocess_image
        return {"mesh": [MeshExtractResult()]}
