"""Operators' own depth estimators: MoGe, Depth Anything (its own package or transformers'), a TorchScript file.

None of them comes with this repository, none is downloaded: an operator installs the package and names local weights.
"""

from __future__ import annotations

import math
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from modelzoo.camera import intrinsics_from_points, typical_intrinsics
from modelzoo.conditioning import TYPICAL_FOCAL
from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.frames import pixel_grid, unproject

#: What Depth Anything's published sizes are made of, by the name of their encoder.
DEPTH_ANYTHING_SIZES = {
    "vits": {"features": 64, "out_channels": [48, 96, 192, 384]},
    "vitb": {"features": 128, "out_channels": [96, 192, 384, 768]},
    "vitl": {"features": 256, "out_channels": [256, 512, 1024, 1024]},
    "vitg": {"features": 384, "out_channels": [1536, 1536, 1536, 1536]},
}
FARTHEST = (
    8.0  # over the nearest depth: a guess that gives relative disparity, known up to scale and shift, a depth
)
UNREADABLE = (
    UnpicklingError,
    SafetensorError,
    RuntimeError,
    LookupError,
    AttributeError,
    TypeError,
    *(ValueError, OSError, EOFError),
)


class EstimatorMissing(ValueError):
    """What has to be installed or supplied before an estimator can be used."""


class MogePort:
    """A PointMapSource over MoGe 1 or 2. Its points are x right, y down, z forward already; MoGe 2's are metres.

    The map is not forced onto the pixels' rays, as in the released SAM 3D pipeline.
    """

    name = "moge"

    def __init__(self, weights: Path, *, version: int = 1, device: str | torch.device = "cpu") -> None:
        """Raises EstimatorMissing, which names what to install and where the weights go."""
        if version not in {1, 2}:
            raise ValueError(f"there are MoGe 1 and 2, not {version}")
        model_class = _moge_class(version)
        _weights_file(
            weights, what="MoGe", published="model.pt of Ruicheng/moge-vitl or Ruicheng/moge-2-vitl"
        )
        try:
            # Only a path that exists is never looked up on a hub; the package reads it with weights_only.
            self.model = model_class.from_pretrained(str(weights)).to(device).eval()
        except UNREADABLE as error:
            raise EstimatorMissing(f"{weights} is no MoGe {version} checkpoint: {error}") from error
        self.device = torch.device(device)
        self.metric = any(name == "scale_head" for name, _ in self.model.named_children())

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """Points of an H x W x 3 photograph; pixels outside the model's own mask are unknown."""
        _check_image(image)
        height, width = image.shape[:2]
        found = self.model.infer(
            torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1).float() / 255,
            fov_x=None if intrinsics is None else _horizontal_view_deg(intrinsics),
            force_projection=False,
            use_fp16=self.device.type == "cuda",
        )
        points = found["points"].float().cpu().numpy().copy()
        if points.shape != (height, width, 3):
            raise ValueError(f"MoGe gave points {points.shape} for a {height} x {width} photograph")
        known = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
        if "mask" in found:
            known &= found["mask"].cpu().numpy().astype(bool)
        points[~known] = np.nan
        camera = intrinsics or intrinsics_from_points(points)
        if camera is None:
            raise ValueError("MoGe found no points in this photograph")
        return PointMapData(
            points=points,
            intrinsics=camera,
            metric=self.metric,
            approximate=False,
            source=f"{self.name}-2" if self.metric else self.name,
        )


class DepthAnythingPort:
    """A PointMapSource over the depth_anything_v2 package: metric weights give metres, relative ones a rough guess."""

    def __init__(
        self,
        weights: Path,
        *,
        encoder: str = "vitl",
        max_depth_m: float | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        input_size: int = 518,
    ) -> None:
        """``max_depth_m`` is what metric weights were trained with (20 indoors, 80 outdoors), None for relative ones.

        Raises EstimatorMissing, which names what to install and where the weights go.
        """
        if encoder not in DEPTH_ANYTHING_SIZES:
            raise ValueError(f"encoder is one of {', '.join(DEPTH_ANYTHING_SIZES)}, not {encoder!r}")
        model_class = _depth_anything_class()
        _weights_file(weights, what="Depth Anything", published=f"depth_anything_v2_{encoder}.pth")
        known_depth: dict[str, Any] = {} if max_depth_m is None else {"max_depth": max_depth_m}
        try:
            model = model_class(encoder=encoder, **DEPTH_ANYTHING_SIZES[encoder], **known_depth)
            model.load_state_dict(_state(weights))
        except TypeError as error:
            raise EstimatorMissing(
                "this depth_anything_v2 takes no max_depth: metric weights need the package in metric_depth"
            ) from error
        except UNREADABLE as error:
            raise EstimatorMissing(f"{weights} does not fit Depth Anything's {encoder}: {error}") from error
        self.model = model.to(device=device, dtype=dtype).eval()
        self.device, self.dtype, self.input_size = torch.device(device), dtype, input_size
        self.metric = max_depth_m is not None
        self.name = f"depth-anything-v2-{encoder}" + ("-metric" if self.metric else "")

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """A typical lens stands in for an unknown camera; relative depth is always approximate."""
        _check_image(image)
        # infer_image() would choose a device of its own; it takes pictures as OpenCV has them.
        given, (height, width) = self.model.image2tensor(
            np.ascontiguousarray(image[..., ::-1]), self.input_size
        )
        found = self.model(given.to(device=self.device, dtype=self.dtype))
        full = F.interpolate(found[:, None].float(), (height, width), mode="bilinear", align_corners=True)[
            0, 0
        ]
        return _point_map(
            full, image, intrinsics, metric=self.metric, relative=not self.metric, source=self.name
        )


class TransformersDepthAnything:
    """A PointMapSource over a Depth Anything saved as a local transformers folder; its config says whether metric."""

    def __init__(self, folder: Path, *, device: str | torch.device = "cpu") -> None:
        """Raises EstimatorMissing, which names what to install and what the folder must hold."""
        try:
            from transformers import AutoImageProcessor, AutoModelForDepthEstimation
        except ImportError as error:
            raise EstimatorMissing(
                "the transformers package is not installed: pip install transformers"
            ) from error
        if not (folder / "config.json").is_file() or not (folder / "preprocessor_config.json").is_file():
            raise EstimatorMissing(
                f"{folder} is no transformers folder: it must hold config.json, preprocessor_config.json and "
                "model.safetensors, such as those of depth-anything/Depth-Anything-V2-Small-hf"
            )
        try:
            self.processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]  # theirs
                folder, local_files_only=True
            )
            model = AutoModelForDepthEstimation.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except (*UNREADABLE, ImportError) as error:
            raise EstimatorMissing(f"the depth model in {folder} cannot be loaded: {error}") from error
        if model.config.model_type != "depth_anything":
            # Others give depth where this one gives disparity, and nothing in their config says so.
            raise EstimatorMissing(f"{folder} holds a {model.config.model_type}, not a depth_anything")
        self.model, self.device = model.to(device).eval(), torch.device(device)
        kind = str(model.config.to_dict().get("depth_estimation_type", "relative"))
        self.metric, self.name = kind == "metric", f"transformers:{folder.name}"

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """A typical lens stands in for an unknown camera; relative depth is always approximate."""
        _check_image(image)
        given = self.processor(images=image, return_tensors="pt")["pixel_values"].to(self.device)
        found = self.model(pixel_values=given).predicted_depth
        size = image.shape[:2]
        full = F.interpolate(found[:, None].float(), size, mode="bilinear", align_corners=False)[0, 0]
        return _point_map(
            full, image, intrinsics, metric=self.metric, relative=not self.metric, source=self.name
        )


class TorchScriptDepth:
    """A PointMapSource over ``forward(image) -> depth``: (1, 3, H, W) in [0, 1] to (1, H, W) or (1, 1, H, W), z > 0.

    ``metric`` says whether the depths are metres. TorchScript archives run code: load only files you trust, which is
    why the operator names the file and it never comes from an upload.
    """

    def __init__(self, file: Path, *, metric: bool, device: str | torch.device = "cpu") -> None:
        if not file.is_file():
            raise EstimatorMissing(
                f"no TorchScript depth model at {file}; export one with torch.jit.save and name it"
            )
        self.name, self.metric, self.device = f"torchscript:{file.stem}", metric, torch.device(device)
        self.model = torch.jit.load(str(file), map_location=device).eval()

    @torch.inference_mode()
    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """A typical focal length stands in for an unknown camera, and the result is then marked approximate."""
        _check_image(image)
        given = torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1)[None].float() / 255
        depth = self.model(given)
        depth = depth.reshape(-1, *depth.shape[-2:])[0]
        return _point_map(depth, image, intrinsics, metric=self.metric, relative=False, source=self.name)


def depth_from_relative(disparity: NDArray[np.floating]) -> NDArray[np.float64]:
    """Depth from 1 to FARTHEST of relative disparity: larger is nearer, scale and shift are unknown.

    The shift cannot be known, so the shape of this depth is a guess. NaN stays NaN.
    """
    values = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float64)
    if np.isnan(values).all():
        return values
    low, high = np.nanpercentile(values, (1, 99))
    share = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    inverse: NDArray[np.float64] = 1 / FARTHEST + (1 - 1 / FARTHEST) * share
    return 1 / inverse


def _point_map(
    found: Tensor,
    image: NDArray[np.uint8],
    intrinsics: Intrinsics | None,
    *,
    metric: bool,
    relative: bool,
    source: str,
) -> PointMapData:
    height, width = image.shape[:2]
    depth = found.float().cpu().numpy().astype(np.float64)
    if depth.shape != (height, width):
        raise ValueError(f"{source} gave depth {depth.shape} for a {height} x {width} photograph")
    depth = depth_from_relative(depth) if relative else depth
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
    if np.isnan(depth).all():
        raise ValueError(f"{source} found no depth in this photograph")
    camera = intrinsics or typical_intrinsics(height=height, width=width, focal_factor=TYPICAL_FOCAL)
    points = unproject(pixel_grid(width=width, height=height), depth, camera)
    return PointMapData(
        points=points.astype(np.float32),
        intrinsics=camera,
        metric=metric,
        approximate=relative or intrinsics is None,
        source=source,
    )


def _moge_class(version: int) -> Any:
    try:
        if version == 1:
            from moge.model.v1 import MoGeModel
        else:
            from moge.model.v2 import MoGeModel
    except ImportError as error:
        raise EstimatorMissing(
            f"the moge package (MoGe {version}) is not installed: "
            "pip install git+https://github.com/microsoft/MoGe.git, and name its weights"
        ) from error
    return MoGeModel


def _depth_anything_class() -> Any:
    try:
        from depth_anything_v2.dpt import DepthAnythingV2
    except ImportError as error:
        raise EstimatorMissing(
            "the depth_anything_v2 package is not installed: put github.com/DepthAnything/Depth-Anything-V2 on the "
            "Python path (its metric_depth folder for metric weights), and name its weights"
        ) from error
    return DepthAnythingV2


def _weights_file(weights: Path, *, what: str, published: str) -> None:
    if not weights.is_file():
        raise EstimatorMissing(
            f"no {what} weights at {weights}: nothing is downloaded; fetch {published} once, put it there and name it"
        )


def _state(weights: Path) -> dict[str, Tensor]:
    if weights.suffix == ".safetensors":
        return load_file(weights)
    state: dict[str, Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
    return state


def _horizontal_view_deg(camera: Intrinsics) -> float:
    return math.degrees(2 * math.atan(camera.width / (2 * camera.fx)))


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 2:
        raise ValueError(f"image must be H x W x 3 uint8 of at least 2 x 2, not {image.shape} {image.dtype}")
