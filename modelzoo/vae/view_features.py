"""Image features of the views that really see a cell: what the structured latent's encoder reads at full size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TOLERANCE = 0.015  # of the unit cube, about one cell of 64^3; the paper does not state its own


@dataclass(frozen=True, kw_only=True)
class FeatureViews:
    """Feature maps of V views of one object and the cameras that made them.

    ``intrinsics`` (V, 4) are fx, fy, cx, cy as shares of the picture's width and height, so they hold for maps of any
    size; ``T_camera_object`` (V, 4, 4) maps the object frame into OpenCV cameras without changing lengths;
    ``depth`` (V, H, W) is the distance along z of what each pixel shows, infinite where it shows nothing.
    """

    features: Tensor  # (V, F, h, w)
    depth: Tensor
    intrinsics: Tensor
    T_camera_object: Tensor

    def __post_init__(self) -> None:
        v = len(self.features)
        shapes = (self.intrinsics.shape, self.T_camera_object.shape, len(self.depth))
        if self.features.ndim != 4 or self.depth.ndim != 3 or not v:
            raise ValueError("features must be (V, F, h, w) and depth (V, H, W), of at least one view")
        if shapes != ((v, 4), (v, 4, 4), v):
            raise ValueError(f"{v} views need {v} intrinsics, cameras and depth buffers, not {shapes}")


@dataclass(frozen=True, kw_only=True)
class GatheredFeatures:
    """Features (N, F) of N points and in how many views each was seen; ``unseen`` points have the mean of all views."""

    features: Tensor
    times_seen: Tensor  # (N,)

    @property
    def unseen(self) -> int:
        return int((self.times_seen == 0).sum())


def gather_view_features(
    points: Tensor, views: FeatureViews, *, tolerance: float = TOLERANCE
) -> GatheredFeatures:
    """Mean over the views that see each point (N, 3) of the feature map, bilinear, where the point falls.

    A view sees a point inside its picture whose depth is at most the depth buffer's there plus ``tolerance`` (paper,
    Depth-VAE). A point that no view sees gets the mean over all views, its place held inside the picture.
    """
    assert points.ndim == 2 and points.shape[1] == 3, points.shape
    if tolerance < 0:
        raise ValueError(f"tolerance must not be negative: {tolerance}")
    n, width = len(points), views.features.shape[1]
    seen_total = views.features.new_zeros(n, width)
    total, times = torch.zeros_like(seen_total), seen_total.new_zeros(n)
    for index, feature_map in enumerate(views.features):
        places, depth = project(points, views.intrinsics[index], views.T_camera_object[index])
        sampled = _sampled(feature_map, places)
        seen = _seen(places, depth, views.depth[index], tolerance=tolerance).to(sampled.dtype)
        seen_total = seen_total + sampled * seen[:, None]
        total = total + sampled
        times = times + seen
    mean = torch.where(
        times[:, None] > 0, seen_total / times.clamp(min=1)[:, None], total / len(views.features)
    )
    return GatheredFeatures(features=mean, times_seen=times.long())


def project(points: Tensor, intrinsics: Tensor, T_camera_object: Tensor) -> tuple[Tensor, Tensor]:
    """Where points (N, 3) fall as shares (N, 2) of width and height, and their depth (N,); nan beside the camera."""
    in_camera = points @ T_camera_object[:3, :3].T.to(points.dtype) + T_camera_object[:3, 3].to(points.dtype)
    depth = in_camera[:, 2]
    fx, fy, cx, cy = intrinsics.to(points.dtype).unbind()
    inverse = torch.where(depth.abs() > 1e-9, 1 / depth, torch.nan)
    return torch.stack([fx * in_camera[:, 0] * inverse + cx, fy * in_camera[:, 1] * inverse + cy], 1), depth


def _sampled(feature_map: Tensor, places: Tensor) -> Tensor:
    """Bilinear features (N, F); places beyond the map count as its border."""
    grid = torch.nan_to_num(2 * places - 1).to(feature_map.dtype)
    found = F.grid_sample(feature_map[None], grid[None, :, None], padding_mode="border", align_corners=False)
    return found[0, :, :, 0].T


def _seen(places: Tensor, depth: Tensor, buffer: Tensor, *, tolerance: float) -> Tensor:
    height, width = buffer.shape
    held = ((places >= 0) & (places < 1)).all(dim=1) & (depth > 0)
    column = (torch.nan_to_num(places[:, 0]) * width).long().clamp(0, width - 1)
    row = (torch.nan_to_num(places[:, 1]) * height).long().clamp(0, height - 1)
    return held & (depth <= buffer[row, column].to(depth.dtype) + tolerance)
