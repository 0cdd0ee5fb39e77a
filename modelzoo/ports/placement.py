"""Where a shape that came without a pose stands in its photograph: upright, turned until it looks most like the mask.

The search knows silhouettes and colours alone, and takes objects to stand upright under a level or slightly lowered
camera; its result is a first guess for a person or for the layout model, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzoo.camera import intrinsics_from_points, typical_intrinsics
from modelzoo.conditioning import TYPICAL_FOCAL, crop_square
from modelzoo.contracts import CandidateRequest, Intrinsics, Pose
from modelzoo.frames import pose_from_parts
from modelzoo.silhouette import rasterise

SIDE = 64  # pixels per side of the crop in which views are compared
CROP_FACTOR = 1.6
YAWS = np.deg2rad(np.arange(0, 360, 15))
ELEVATIONS = np.deg2rad([0.0, 20.0, 40.0])
FITS = 3  # rounds of making the drawn box the mask's box
COLOUR_WEIGHT = 0.5  # of the mean colour difference, against mask IoU

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The best pose found, its mask IoU in the search's small picture, and what was missing or guessed."""

    pose: Pose
    mask_iou: float
    fallbacks: tuple[str, ...]


def placed(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    colours: NDArray[np.floating] | None,
    request: CandidateRequest,
) -> Placement:
    """A pose for an object-frame surface (V, 3), (F, 3), with its colours (V, 3) in [0, 1] where they are known."""
    camera, notes = camera_of(request)
    window, wanted, photo = _crop(request)
    small = Intrinsics(
        fx=camera.fx * SIDE / window.side,
        fy=camera.fy * SIDE / window.side,
        cx=(camera.cx - window.left) * SIDE / window.side,
        cy=(camera.cy - window.top) * SIDE / window.side,
        width=SIDE,
        height=SIDE,
    )
    depth = _depth_of(request)
    points = np.asarray(vertices, np.float64)
    shades = None if colours is None else np.asarray(colours, np.float64)
    best: tuple[float, float, Floats, Floats, float] | None = None
    for elevation in ELEVATIONS:
        for yaw in YAWS:
            rotation = upright(yaw=float(yaw), elevation=float(elevation))
            translation, scale = _box_fitted(points @ rotation.T, small, wanted, depth)
            drawn = rasterise(scale * (points @ rotation.T) + translation, faces, small, colours=shades)
            score, iou = _likeness(drawn.mask, drawn.colour, wanted, None if shades is None else photo)
            if best is None or score > best[0]:
                best = (score, iou, rotation, translation, scale)
    assert best is not None
    _, iou, rotation, translation, scale = best
    ratio = _depth_ratio(scale * (points @ rotation.T) + translation, faces, small, window, request)
    translation, scale = translation * ratio, scale * ratio
    pose = pose_from_parts(rotation=rotation, translation=translation, scale=scale, unit=request.unit)
    return Placement(pose=pose, mask_iou=iou, fallbacks=(*notes, "pose_searched"))


def camera_of(request: CandidateRequest) -> tuple[Intrinsics, tuple[str, ...]]:
    """The camera that the point map implies, or a typical one, and by name what was missing or not relied on."""
    height, width = request.mask.shape
    typical = typical_intrinsics(height=height, width=width, focal_factor=TYPICAL_FOCAL)
    if request.points is None:
        return typical, ("point_map_missing",)
    found = intrinsics_from_points(request.points)
    return (typical, ("camera_guessed",)) if found is None else (found, ())


def upright(*, yaw: float, elevation: float) -> Floats:
    """R of an object (Z-up) turned by ``yaw`` about its up axis, before an OpenCV camera ``elevation`` above it.

    At zero both, the camera looks along the object's +y: object x is right, object z is up.
    """
    c, s = np.cos(yaw), np.sin(yaw)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    level = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])  # object to camera axes
    c, s = np.cos(elevation), np.sin(elevation)
    lowered = np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    return np.asarray(lowered @ level @ turned)


def _box_fitted(
    turned: Floats, camera: Intrinsics, wanted: NDArray[np.bool_], depth: float
) -> tuple[Floats, float]:
    """Translation and scale at which the drawn box is centred on the mask's and as large, its middle ``depth`` away."""
    rows, cols = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    low, high = np.array([cols[0], rows[0]], float), np.array([cols[-1] + 1, rows[-1] + 1], float)
    focal = np.array([camera.fx, camera.fy])
    middle = ((low + high) / 2 - np.array([camera.cx, camera.cy])) / focal * depth
    extent = turned.max(axis=0) - turned.min(axis=0)
    scale = float(np.max((high - low) / focal) * depth / max(float(extent[:2].max()), 1e-6))
    scale = min(scale, depth / max(float(extent[2]), 1e-6))  # nothing may reach behind the camera
    translation = np.array([*middle, depth])
    for _ in range(FITS):
        placed_points = scale * turned + translation
        pixels = placed_points[:, :2] / placed_points[:, 2:] * focal + np.array([camera.cx, camera.cy])
        box_low, box_high = pixels.min(axis=0), pixels.max(axis=0)
        grow = float(np.max(high - low) / max(float(np.max(box_high - box_low)), 1e-6))
        scale = min(scale * grow, depth / max(float(extent[2]), 1e-6))
        translation[:2] += ((low + high) - (box_low + box_high)) / 2 / focal * depth
    return translation, scale


def _depth_ratio(
    surface: Floats, faces: NDArray[np.integer], small: Intrinsics, window: _Window, request: CandidateRequest
) -> float:
    """How much farther the photograph's points are than the drawn surface; moving by it keeps the outline."""
    if request.points is None:
        return 1.0
    height, width = request.mask.shape
    centres = (np.arange(SIDE) + 0.5) * window.side / SIDE
    rows, cols = np.floor(window.top + centres).astype(int), np.floor(window.left + centres).astype(int)
    grid = np.ix_(np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1))
    inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))[None]
    known, drawn = request.points[grid][..., 2], rasterise(surface, faces, small).depth
    both = inside & request.mask[grid] & np.isfinite(known) & (known > 0) & np.isfinite(drawn)
    return float(np.median(known[both] / drawn[both])) if both.any() else 1.0


def _likeness(
    drawn: NDArray[np.bool_], colour: NDArray[np.floating], wanted: NDArray[np.bool_], photo: Floats | None
) -> tuple[float, float]:
    """Score and mask IoU; the colours count where both are."""
    both, union = drawn & wanted, int((drawn | wanted).sum())
    iou = float(both.sum()) / union if union else 0.0
    if photo is None or not both.any():
        return iou, iou
    return iou - COLOUR_WEIGHT * float(np.abs(colour[both] - photo[both]).mean()), iou


def _crop(request: CandidateRequest) -> tuple[_Window, NDArray[np.bool_], Floats]:
    """The window about the mask, and mask and photograph in it at SIDE x SIDE."""
    square = crop_square(request.mask, factor=CROP_FACTOR)
    left, top, side = int(np.floor(square.left)), int(np.floor(square.top)), max(1, round(square.side))
    box = (left, top, left + side, top + side)
    size = (SIDE, SIDE)
    mask = Image.fromarray(request.mask.astype(np.uint8) * 255).crop(box).resize(size, Image.Resampling.BOX)
    wanted = np.asarray(mask) >= 128
    if not wanted.any():
        wanted = np.asarray(mask) > 0
    photo = Image.fromarray(request.image).crop(box).resize(size, Image.Resampling.BOX)
    return _Window(left=left, top=top, side=side), wanted, np.asarray(photo, np.float64) / 255


@dataclass(frozen=True, kw_only=True)
class _Window:
    left: int
    top: int
    side: int


def _depth_of(request: CandidateRequest) -> float:
    """The median depth of the masked points, one where nothing is known."""
    if request.points is None:
        return 1.0
    depths = request.points[request.mask][:, 2]
    depths = depths[np.isfinite(depths) & (depths > 0)]
    return float(np.median(depths)) if len(depths) else 1.0
