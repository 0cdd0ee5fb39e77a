"""Silhouettes: hard ones and z-depth of posed meshes by a small z-buffer, soft ones of points with their gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from modelzoo.contracts import Intrinsics

NEAR = 1e-4
SOFT_SIGMA, SOFT_REACH = 0.7, 2  # pixels: a point's width in a soft silhouette, and how far it is followed
SOFT_AREA = 2 * np.pi * SOFT_SIGMA**2  # what one point adds to the raster in all


@dataclass(frozen=True, kw_only=True)
class Rasterised:
    """z-depth (H, W), infinite where nothing is; colours (H, W, K), zero there."""

    depth: NDArray[np.float32]
    colour: NDArray[np.float32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        return np.isfinite(self.depth)


def rasterise(
    vertices_camera: NDArray[np.floating],
    faces: NDArray[np.integer],
    intrinsics: Intrinsics,
    *,
    colours: NDArray[np.floating] | None = None,
) -> Rasterised:
    """Draw camera-frame triangles; a triangle with a vertex behind the camera is left out.

    ``colours`` (V, K) are interpolated in perspective: three channels, or as many attributes as are wanted.
    """
    assert vertices_camera.ndim == 2 and vertices_camera.shape[1] == 3, vertices_camera.shape
    shades = np.ones_like(vertices_camera) if colours is None else colours
    depth, colour = _draw(
        np.ascontiguousarray(vertices_camera, dtype=np.float64),
        np.ascontiguousarray(faces, dtype=np.int64),
        np.ascontiguousarray(shades, dtype=np.float64),
        np.array([intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy]),
        intrinsics.height,
        intrinsics.width,
    )
    return Rasterised(depth=depth, colour=colour)


def mask_iou(
    vertices_camera: NDArray[np.floating],
    faces: NDArray[np.integer],
    intrinsics: Intrinsics,
    mask: NDArray[np.bool_],
) -> float:
    """Intersection over union of the mesh's silhouette and ``mask``, at the mask's size."""
    assert mask.shape == (intrinsics.height, intrinsics.width), (mask.shape, intrinsics)
    drawn = rasterise(vertices_camera, faces, intrinsics).mask
    union = int((drawn | mask).sum())
    return float((drawn & mask).sum()) / union if union else 0.0


@numba.njit(cache=True)
def _draw(vertices, faces, colours, camera, height, width):  # type: ignore[no-untyped-def]  # numba infers them
    depth = np.full((height, width), np.inf, np.float32)
    colour = np.zeros((height, width, colours.shape[1]), np.float32)
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = vertices[a, 2], vertices[b, 2], vertices[c, 2]
        if za < NEAR or zb < NEAR or zc < NEAR:
            continue
        ua, va = fx * vertices[a, 0] / za + cx, fy * vertices[a, 1] / za + cy
        ub, vb = fx * vertices[b, 0] / zb + cx, fy * vertices[b, 1] / zb + cy
        uc, vc = fx * vertices[c, 0] / zc + cx, fy * vertices[c, 1] / zc + cy
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if abs(area) < 1e-12:
            continue
        left = max(0, int(np.floor(min(ua, ub, uc) - 0.5)))
        right = min(width - 1, int(np.ceil(max(ua, ub, uc) - 0.5)))
        top = max(0, int(np.floor(min(va, vb, vc) - 0.5)))
        bottom = min(height - 1, int(np.ceil(max(va, vb, vc) - 0.5)))
        for row in range(top, bottom + 1):
            for col in range(left, right + 1):
                u, v = col + 0.5, row + 0.5
                wa = ((ub - u) * (vc - v) - (uc - u) * (vb - v)) / area
                wb = ((uc - u) * (va - v) - (ua - u) * (vc - v)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                # Perspective: 1/z is linear on the screen, so are attributes over z.
                inverse = wa / za + wb / zb + wc / zc
                z = 1.0 / inverse
                if z < depth[row, col]:
                    depth[row, col] = z
                    for channel in range(colours.shape[1]):
                        colour[row, col, channel] = z * (
                            wa * colours[a, channel] / za
                            + wb * colours[b, channel] / zb
                            + wc * colours[c, channel] / zc
                        )
    return depth, colour


@dataclass(frozen=True, kw_only=True)
class SoftTarget:
    """What a soft silhouette should cover: ``coverage`` (S, S) in [0, 1], judged only where ``inside`` (S, S)."""

    coverage: NDArray[np.float64]
    inside: NDArray[np.bool_]


def softened(mask: NDArray[np.bool_], *, density: float) -> NDArray[np.float64]:
    """The coverage (S, S) that a soft silhouette of ``density`` points' weight per pixel would have over ``mask``."""
    return np.asarray(1.0 - np.exp(-density * gaussian_filter(mask.astype(np.float64), SOFT_SIGMA)))


def soft_silhouette_loss(
    surface: NDArray[np.float64],
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
    scale: float,
    camera: NDArray[np.float64],
    target: SoftTarget,
) -> tuple[float, NDArray[np.float64]]:
    """1 - soft IoU of placed points (N, 3) with ``target``, and its gradient (7,) by a small change of the layout.

    Every point adds a Gaussian to the raster of ``camera`` (fx, fy, cx, cy in its pixels) and coverage is
    1 - exp(-sum). The change is a turn about the object's origin (axis times angle, camera axes), a shift in object
    sizes and a growth in logarithms.
    """
    assert surface.ndim == 2 and surface.shape[1] == 3 and camera.shape == (4,), (surface.shape, camera.shape)
    assert target.coverage.shape == target.inside.shape, (target.coverage.shape, target.inside.shape)
    turned = np.ascontiguousarray(scale * (surface @ rotation.T))
    loss, by_point = _soft_loss(turned + translation, camera, target.coverage, target.inside)
    gradient = np.concatenate(
        [np.cross(turned, by_point).sum(axis=0), scale * by_point.sum(axis=0), [(turned * by_point).sum()]]
    )
    return float(loss), gradient


def covered_raster(
    points_camera: NDArray[np.float64], camera: NDArray[np.float64], size: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which pixels of a ``size`` x ``size`` raster the points (N, 3) cover, holes of a pixel closed; nearest depths.

    ``camera`` is (fx, fy, cx, cy) in raster pixels; the depth is infinite where no point falls.
    """
    assert points_camera.ndim == 2 and points_camera.shape[1] == 3 and camera.shape == (4,), camera.shape
    covered, depth = _cover(points_camera, camera, size)
    return covered, depth


@numba.njit(cache=True)
def _cover(points, camera, size):  # type: ignore[no-untyped-def]  # numba infers them
    depth = np.full((size, size), np.inf)
    for i in range(points.shape[0]):
        z = points[i, 2]
        if z <= 1e-6:
            continue
        u, v = camera[0] * points[i, 0] / z + camera[2], camera[1] * points[i, 1] / z + camera[3]
        if 0.0 <= u < size and 0.0 <= v < size:
            row, col = int(v), int(u)
            depth[row, col] = min(depth[row, col], z)
    # Closing by a cross of five pixels, on a frame two pixels wider, as if the raster went on.
    grown = np.zeros((size + 4, size + 4), np.bool_)
    for row in range(size):
        for col in range(size):
            if np.isfinite(depth[row, col]):
                r, c = row + 2, col + 2
                grown[r, c] = grown[r - 1, c] = grown[r + 1, c] = grown[r, c - 1] = grown[r, c + 1] = True
    covered = np.zeros((size, size), np.bool_)
    for row in range(size):
        for col in range(size):
            r, c = row + 2, col + 2
            covered[row, col] = (
                grown[r, c] and grown[r - 1, c] and grown[r + 1, c] and grown[r, c - 1] and grown[r, c + 1]
            )
    return covered, depth


@numba.njit(cache=True)
def _spread(at, first, weights):  # type: ignore[no-untyped-def]  # numba infers them
    """The Gaussian's factors along one axis, at the centres of the pixels from ``first`` on."""
    for k in range(weights.shape[0]):
        weights[k] = np.exp(-0.5 * ((first + k + 0.5 - at) / SOFT_SIGMA) ** 2)


@numba.njit(cache=True)
def _soft_loss(points, camera, wanted, inside):  # type: ignore[no-untyped-def]  # numba infers them
    size, span = wanted.shape[0], 2 * SOFT_REACH + 1
    total = np.zeros((size, size))
    pixels = np.empty((points.shape[0], 2))
    across, down = np.empty(span), np.empty(span)
    for i in range(points.shape[0]):
        z = points[i, 2]
        u = v = -1e6  # behind the camera: far outside, so that it is passed over below as well
        if z > NEAR:
            u, v = camera[0] * points[i, 0] / z + camera[2], camera[1] * points[i, 1] / z + camera[3]
        if not (abs(u) < 1e6 and abs(v) < 1e6):
            u = v = -1e6
        pixels[i, 0], pixels[i, 1] = u, v
        left, top = int(np.floor(u)) - SOFT_REACH, int(np.floor(v)) - SOFT_REACH
        if left <= -span or top <= -span or left >= size or top >= size:
            continue
        _spread(u, left, across)
        _spread(v, top, down)
        for r in range(max(0, top), min(size, top + span)):
            for c in range(max(0, left), min(size, left + span)):
                total[r, c] += across[c - left] * down[r - top]
    shared, union = 0.0, 1e-9
    for r in range(size):
        for c in range(size):
            if inside[r, c]:
                coverage = 1.0 - np.exp(-total[r, c])
                shared += coverage * wanted[r, c]
                union += coverage + wanted[r, c] - coverage * wanted[r, c]
    slope = np.zeros((size, size))
    for r in range(size):
        for c in range(size):
            if inside[r, c]:
                by_coverage = -(wanted[r, c] * union - shared * (1.0 - wanted[r, c])) / union**2
                slope[r, c] = by_coverage * np.exp(-total[r, c]) / SOFT_SIGMA**2
    by_point = np.zeros((points.shape[0], 3))
    for i in range(points.shape[0]):
        u, v, z = pixels[i, 0], pixels[i, 1], points[i, 2]
        left, top = int(np.floor(u)) - SOFT_REACH, int(np.floor(v)) - SOFT_REACH
        if left <= -span or top <= -span or left >= size or top >= size:
            continue
        _spread(u, left, across)
        _spread(v, top, down)
        by_u, by_v = 0.0, 0.0
        for r in range(max(0, top), min(size, top + span)):
            for c in range(max(0, left), min(size, left + span)):
                weight = slope[r, c] * across[c - left] * down[r - top]
                by_u += weight * (c + 0.5 - u)
                by_v += weight * (r + 0.5 - v)
        by_point[i, 0] = by_u * camera[0] / z
        by_point[i, 1] = by_v * camera[1] / z
        by_point[i, 2] = -(by_u * camera[0] * points[i, 0] + by_v * camera[1] * points[i, 1]) / z**2
    return 1.0 - shared / union, by_point
