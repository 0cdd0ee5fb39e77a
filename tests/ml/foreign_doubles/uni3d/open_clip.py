"""A stand-in for open_clip: a model to which every picture says "tall", and its transform."""

import numpy as np
import torch


class _Clip(torch.nn.Module):
    def encode_image(self, image, normalize: bool = False):
        assert not self.training and tuple(image.shape) == (1, 3, 8, 8) and image.dtype == torch.float32
        return torch.tensor([[0.0, 1.0, 0.0]])


def _preprocess(image):
    pixels = np.asarray(image)
    assert image.mode == "RGB" and pixels.shape[0] == pixels.shape[1] and (pixels[0] == 255).all()
    return torch.from_numpy(np.asarray(image.resize((8, 8)), np.float32).transpose(2, 0, 1) / 255)


def create_model_and_transforms(model_name, pretrained=None, precision="fp32", device="cpu"):
    assert model_name == "EVA02-E-14-plus" and pretrained == "/weights/open_clip_pytorch_model.bin"
    return _Clip(), None, _preprocess
