"""A stand-in for MIDI's pipeline: logits of two boxes, one left and one right of the middle, in one Y-up scene."""

import numpy as np
from torch import Tensor


class MIDIPipeline:
    device = "cuda"

    @classmethod
    def from_pretrained(cls, path):
        return cls()

    def to(self, device, dtype):
        assert (device, dtype) == ("cuda", "bfloat16")
        return self

    def init_custom_adapter(self, set_self_attn_module_names=None):
        assert set_self_attn_module_names == [f"blocks.{n}" for n in range(8, 13)]

    def __call__(
        self,
        image,
        mask,
        image_scene,
        num_inference_steps: int = 50,
        timesteps=None,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator=None,
        latents=None,
        attention_kwargs=None,
        decode_progressive: bool = False,
        return_dict: bool = True,
    ):
        count = attention_kwargs["num_instances"]
        assert len(image) == len(mask) == len(image_scene) == count and decode_progressive and not return_dict
        assert all(one.mode == "RGB" for one in (*image, *image_scene)) and mask[0].mode == "L"
        side, low, size = 24, np.full(3, -1.0), np.full(3, 2.0)
        points = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1) / side * size + low
        logits = []
        for number in range(count):
            middle = np.array([-0.5 + number, -0.25, 0.0])
            half = np.array([0.3, 0.2 + 0.3 * number, 0.2])
            logits.append(Tensor(1.0 - np.max(np.abs(points - middle) / half, axis=-1).reshape(-1)))
        grids = [(side, side, side)] * count
        return logits, grids, [size] * count, [low] * count, [low + size] * count
