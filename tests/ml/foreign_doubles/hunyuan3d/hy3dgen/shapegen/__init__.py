"""A stand-in for hy3dgen.shapegen: what its class takes and gives."""

import trimesh
from box import FACES, VERTICES, y_up


class Hunyuan3DDiTFlowMatchingPipeline:
    @classmethod
    def from_pretrained(
        cls,
        model_path,
        device="cuda",
        dtype=None,
        use_safetensors=True,
        variant="fp16",
        subfolder="hunyuan3d-dit-v2-0",
        **kwargs,
    ):
        assert (model_path, subfolder) == ("/weights", "hunyuan3d-dit-v2-0-turbo") and not kwargs
        return cls()

    def __call__(
        self,
        image=None,
        num_inference_steps: int = 50,
        timesteps=None,
        sigmas=None,
        eta: float = 0.0,
        guidance_scale: float = 5.0,
        generator=None,
        box_v=1.01,
        octree_resolution=384,
        mc_level=0.0,
        mc_algo=None,
        num_chunks=8000,
        output_type="trimesh",
        enable_pbar=True,
        **kwargs,
    ):
        assert image.mode == "RGBA" and generator.seed in (7, 8) and not kwargs
        assert (num_inference_steps, octree_resolution, output_type) == (5, 256, "trimesh")
        return [trimesh.Trimesh(2 * y_up(VERTICES), FACES, process=False)]
