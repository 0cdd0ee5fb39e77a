"""A stand-in for hy3dgen.texgen: a mesh painted by a texture whose left half is red."""

import numpy as np
import trimesh
from PIL import Image


class Hunyuan3DPaintPipeline:
    @classmethod
    def from_pretrained(cls, model_path, subfolder="hunyuan3d-paint-v2-0-turbo"):
        return cls()

    def __call__(self, mesh, image):
        assert image.mode == "RGBA"
        texture = np.zeros((64, 64, 3), np.uint8)
        texture[:, :32, 0], texture[:, 32:, 2] = 255, 255
        uv = np.stack(
            [np.where(mesh.vertices[:, 0] < mesh.vertices[:, 0].mean(), 0.2, 0.8), np.full(8, 0.5)], axis=-1
        )
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(texture))
        mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        return mesh
