"""A stand-in for TripoSG's pipeline: what its class takes and gives."""

from types import SimpleNamespace

import numpy as np
from box import FACES, VERTICES, y_up


class TripoSGPipeline:
    @classmethod
    def from_pretrained(cls, path):
        return cls()

    def to(self, device, dtype):
        assert (device, dtype) == ("cuda", "float16")
        return self

    def __call__(
        self,
        image,
        num_inference_steps: int = 50,
        num_tokens: int = 2048,
        timesteps=None,
        guidance_scale: float = 7.0,
        num_shapes_per_prompt: int = 1,
        generator=None,
        latents=None,
        return_dict: bool = True,
    ):
        pixels = np.asarray(image)
        assert image.mode == "RGB" and pixels.shape[0] == pixels.shape[1] and (pixels[0] == 255).all()
        assert generator.device == "cuda" and generator.seed is not None
        return SimpleNamespace(samples=[(y_up(VERTICES).astype(np.float32), FACES)])
