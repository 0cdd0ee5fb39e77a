"""The point map of a photograph that came without one, guessed by our small depth net and marked approximate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from modelzoo.checkpoint import CheckpointRefused, load
from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.frames import pixel_grid, unproject
from modelzoo.models.depth_net import DepthConfig, DepthNet

PRESET = "depth-tiny"
SKY_PROBABILITY = 0.9  # an object taken for sky loses its points, so sky must be sure
TYPICAL_DEPTH = 1.0  # the map's median depth: its scale is unknown and this makes it easy to look at


class SmallDepthNet:
    """A PointMapSource without metric scale, trained on this repository's own synthetic scenes."""

    name = "candid8-depth-tiny"

    def __init__(self, model: DepthNet) -> None:
        self.model = model.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: Path) -> SmallDepthNet:
        """The net of a checkpoint folder. Raises CheckpointRefused."""
        manifest, components = load(folder)
        model = DepthNet(DepthConfig())
        if manifest.preset != PRESET or manifest.config != _as_json(model.config):
            raise CheckpointRefused(
                "config_mismatch", f"the checkpoint is a {manifest.preset}, not a {PRESET} of this size"
            )
        try:
            model.load_state_dict(components["depth"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointRefused("weights_do_not_fit", f"depth: {error}") from error
        return cls(model)

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """Points of an H x W x 3 sRGB photograph of any size; a known camera is used instead of the guessed one."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be H x W x 3 uint8, not {image.shape} {image.dtype}")
        height, width = image.shape[:2]
        share = self.model.config.view / max(height, width)
        small = (max(1, round(width * share)), max(1, round(height * share)))
        pixels = (
            np.asarray(Image.fromarray(image).resize(small, Image.Resampling.BOX), dtype=np.float32) / 127.5
            - 1
        )
        padded = _padded(torch.from_numpy(pixels).permute(2, 0, 1)[None], self.model.stride)
        found = self.model(padded)
        maps = torch.stack([found.log_depth, found.sky], dim=1)[:, :, : small[1], : small[0]]
        maps = F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)[0]
        log_depth, sky = maps[0].numpy().astype(np.float64), torch.sigmoid(maps[1]).numpy() > SKY_PROBABILITY
        if sky.all():
            sky = np.zeros_like(sky)
        depth = np.exp(log_depth - np.median(log_depth[~sky])) * TYPICAL_DEPTH
        camera = intrinsics or _camera(float(found.log_focal[0]), width=width, height=height)
        points = unproject(pixel_grid(width=width, height=height), np.where(sky, np.nan, depth), camera)
        points[sky] = np.nan
        return PointMapData(
            points=points.astype(np.float32),
            intrinsics=camera,
            metric=False,
            approximate=True,
            source=self.name,
        )


def depth_config_json() -> dict[str, object]:
    """The configuration as the depth net's manifest states it."""
    return _as_json(DepthConfig())


def _as_json(config: DepthConfig) -> dict[str, object]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def _camera(log_focal: float, *, width: int, height: int) -> Intrinsics:
    focal = float(np.exp(np.clip(log_focal, np.log(0.5), np.log(4.0)))) * max(width, height)
    return Intrinsics(fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)


def _padded(image: torch.Tensor, stride: int) -> torch.Tensor:
    """Edges repeated to the right and below until both sides are multiples of ``stride``."""
    height, width = image.shape[2:]
    return F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")
