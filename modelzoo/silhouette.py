"""The silhouette and z-depth of a posed mesh, by a small z-buffer; for mask IoU and for looking at candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics

NEAR = 1e-4


@dataclass(frozen=True, kw_only=True)
class Rasterised:
    """z-depth (H, W), infinite where nothing is; colours (H, W, 3), zero there."""

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
    """Draw camera-frame triangles; a triangle with a vertex behind the camera is left out."""
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
def _draw(vertices, faces, colours, camera, height, width):  # type: ignore[no-untyped-def]
    depth = np.full((height, width), np.inf, np.float32)
    colour = np.zeros((height, width, 3), np.float32)
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
                    for channel in range(3):
                        colour[row, col, channel] = z * (
                            wa * colours[a, channel] / za
                            + wb * colours[b, channel] / zb
                            + wc * colours[c, channel] / zc
                        )
    return depth, colour
