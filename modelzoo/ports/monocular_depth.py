"""Seam for an operator's own depth estimator: a TorchScript file with known conventions, or the MoGe package.

Neither comes with this repository: an operator installs the package or exports the file and supplies the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.camera import intrinsics_from_points, typical_intrinsics
from modelzoo.conditioning import TYPICAL_FOCAL
from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.frames import pixel_grid, unproject


class EstimatorMissing(ValueError):
    """What has to be installed or supplied before an estimator can be used."""


class TorchScriptDepth:
    """A PointMapSource over ``forward(image) -> depth``: (1, 3, H, W) in [0, 1] to (1, H, W) or (1, 1, H, W), z > 0.

    ``metric`` says whether the depths are metres. TorchScript archives run code: load only files you trust, which is
    why the operator names the file and it never comes from an upload.
    """

    def __init__(self, file: Path, *, metric: bool, device: str = "cpu") -> None:
        if not file.is_file():
            raise EstimatorMissing(
                f"no TorchScript depth model at {file}; export one with torch.jit.save and name it"
            )
        self.name, self.metric, self.device = f"torchscript:{file.stem}", metric, device
        self.model = torch.jit.load(str(file), map_location=device).eval()

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """A typical focal length stands in for an unknown camera, and the result is then marked approximate."""
        height, width = image.shape[:2]
        given = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float() / 255
        depth = self.model(given).cpu().numpy().astype(np.float64)
        depth = depth.reshape(-1, *depth.shape[-2:])[0]
        if depth.shape != (height, width):
            raise ValueError(f"the depth model gave {depth.shape} for a {height} x {width} photograph")
        camera = intrinsics or typical_intrinsics(height=height, width=width, focal_factor=TYPICAL_FOCAL)
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
        points = unproject(pixel_grid(width=width, height=height), depth, camera)
        return PointMapData(
            points=points.astype(np.float32),
            intrinsics=camera,
            metric=self.metric,
            approximate=intrinsics is None,
            source=self.name,
        )


class MogePort:
    """A PointMapSource over the MoGe package, whose points are already x right, y down, z forward."""

    name = "moge"

    def __init__(self, weights: str, *, device: str = "cpu") -> None:
        try:
            from moge.model.v1 import MoGeModel
        except ImportError as error:
            raise EstimatorMissing(
                "the moge package is not installed; install it from github.com/microsoft/MoGe and name its weights"
            ) from error
        self.device = device
        self.model = MoGeModel.from_pretrained(weights).to(device).eval()

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """Points up to one scale; pixels outside the model's own mask are unknown."""
        given = torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255
        found = self.model.infer(given)
        points = found["points"].cpu().numpy().astype(np.float32)
        points[~found["mask"].cpu().numpy()] = np.nan
        camera = intrinsics or intrinsics_from_points(points)
        if camera is None:
            raise ValueError("MoGe found no points in this photograph")
        return PointMapData(
            points=points, intrinsics=camera, metric=False, approximate=False, source=self.name
        )
