"""A stand-in for the few names of torch that the children of ports touch; a tensor is a wrapped numpy array."""

import numpy as np

float16, float32, bfloat16 = "float16", "float32", "bfloat16"


class Tensor:
    def __init__(self, values, on="cuda"):
        self.values, self.on = np.asarray(values), on

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.values, "cpu")

    def float(self):
        return Tensor(self.values.astype(np.float32), self.on)

    def is_floating_point(self):
        return self.values.dtype.kind == "f"

    def numpy(self):
        if self.on != "cpu":
            raise TypeError("can't convert a cuda tensor to numpy; use Tensor.cpu() first")
        return self.values

    def __len__(self):
        return len(self.values)


class device:
    def __init__(self, name):
        self.type = str(name).split(":")[0]


class Generator:
    def __init__(self, device="cpu"):
        self.device, self.seed = device, None

    def manual_seed(self, seed):
        self.seed = seed
        return self


def manual_seed(seed):
    return Generator().manual_seed(seed)


def from_numpy(values):
    return Tensor(values, "cpu")


class hub:
    @staticmethod
    def load(repo_or_dir, model, *args, source="github", trust_repo=None, **kwargs):
        assert source == "local" and model == "StableNormal_turbo", (source, model)
        assert kwargs == {"yoso_version": "yoso-normal-v1-8-1", "local_cache_dir": "/weights"}, kwargs

        def predict(image, resolution=1024, match_input_resolution=True, data_type="object"):
            assert image.mode == "RGBA" and (resolution, data_type) == (768, "object")
            normals = image.convert("RGB")
            normals.is_normals = True
            return normals

        return predict
