"""A stand-in for the official pipelines: the run of two versions, and the dict that it gives."""

import numpy as np
import trimesh
from box import COLOURS, FACES, VERTICES, y_up
from torch import Tensor
from trellis_like import Gaussian, MeshExtractResult

ROTATION_WXYZ, TRANSLATION, SCALE = [0.5, 0.5, -0.5, 0.5], [0.1, 0.2, 2.0], [0.6, 0.6, 0.6]


class InferencePipelinePointMap:
    """The run of upstream after its layout optimisation was released."""

    def __init__(self, config):
        pass

    def run(
        self,
        image,
        mask=None,
        seed=None,
        stage1_only=False,
        with_mesh_postprocess=True,
        with_texture_baking=True,
        with_layout_postprocess=False,
        use_vertex_color=False,
        stage1_inference_steps=None,
        stage2_inference_steps=None,
        use_stage1_distillation=False,
        use_stage2_distillation=False,
        pointmap=None,
        decode_formats=None,
        estimate_plane=False,
    ):
        assert image.shape[2] == 4 and image.dtype == np.uint8 and mask is None and seed is not None
        assert not with_mesh_postprocess and not with_texture_baking and use_vertex_color
        assert stage1_inference_steps == 4 and decode_formats == ["gaussian", "mesh"]
        if pointmap is not None:
            values = pointmap.numpy()
            assert values.shape == (*image.shape[:2], 3) and values.dtype == np.float32
            assert (
                np.nanmedian(values[..., 2]) > 0 and values[0, 0, 0] > 0 and values[0, 0, 1] > 0
            )  # left, up
        return self.answer(iou=0.7 if with_layout_postprocess else None)

    def answer(self, *, iou):
        mesh = MeshExtractResult(VERTICES, FACES, np.concatenate([COLOURS, COLOURS], axis=1))
        gaussian = Gaussian()
        return {
            "6drotation_normalized": Tensor(np.zeros((1, 1, 6))),
            "shape": Tensor(np.zeros((1, 4096, 8))),
            "rotation": Tensor([ROTATION_WXYZ]),
            "translation": Tensor([TRANSLATION]),
            "scale": Tensor([SCALE]),
            "downsample_factor": 2,
            "mesh": [mesh],
            "gaussian": [gaussian],
            "gs": gaussian,
            "glb": trimesh.Trimesh(y_up(VERTICES), FACES, process=False),
            **({} if iou is None else {"iou": Tensor(iou)}),
        }


class OlderPipeline(InferencePipelinePointMap):
    """A run without point map, whose mesh decoder failed but whose file was made."""

    def run(self, image, mask=None, seed=None, decode_formats=None):
        made = self.answer(iou=None)
        made["mesh"][0].success = False
        return made
