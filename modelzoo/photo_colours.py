"""Colours straight from the photograph for what it shows of a posed candidate; the rest is evened out to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from modelzoo.conditioning import crop_square, resample_colour, resample_mask
from modelzoo.contracts import Intrinsics
from modelzoo.refinement import Layout
from modelzoo.silhouette import rasterise

STEP = "photo_colours_projected"
SIZE = 256  # pixels per side of the crop
FACING = (0.15, 0.5)  # cosine to the viewing ray over which a surface comes to be trusted
EDGE_PX = (1.0, 4.0)  # distance from the mask's edge over which a pixel comes to be trusted
DEPTH_SLACK = 0.02  # of the object, by which a point may lie behind the front surface and still be seen
MIN_SEEN = 0.02  # of all points
GAIN = (0.6, 1.7)

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PhotoView:
    """The crop about the mask: sRGB in [0, 1] (S, S, 3), how far each pixel lies inside the mask, and its camera."""

    colour: Floats
    inside_px: Floats
    camera: Intrinsics


@dataclass(frozen=True, kw_only=True)
class SeenSurface:
    """A posed mesh as the photograph sees it; ``depth`` is infinite where the mesh is not."""

    photo: PhotoView
    layout: Layout
    depth: Floats

    def coloured(
        self, points: Floats, normals: Floats, colours: Floats, *, two_sided: bool
    ) -> tuple[Floats, bool]:
        """Colours (N, 3) of object points with these colours and normals, and whether the photograph was used.

        What it shows well takes its colour; everything else keeps its own, times one gain per channel that makes both
        agree where they meet.
        """
        assert points.shape == normals.shape == colours.shape, (points.shape, normals.shape, colours.shape)
        weight, found = self._sampled(points, normals, two_sided=two_sided)
        if weight.mean() < MIN_SEEN:
            return colours, False
        share = weight[:, None]
        gain = (share * found).sum(axis=0) / np.maximum((share * colours).sum(axis=0), 1e-6)
        evened = np.clip(colours * np.clip(gain, *GAIN), 0, 1)
        return (share * found + (1 - share) * evened).astype(np.float32), True

    def _sampled(self, points: Floats, normals: Floats, *, two_sided: bool) -> tuple[Floats, Floats]:
        camera = self.photo.camera
        placed = self.layout.place(points.astype(np.float64))
        z = np.maximum(placed[:, 2], 1e-6)
        u, v = camera.fx * placed[:, 0] / z + camera.cx, camera.fy * placed[:, 1] / z + camera.cy
        cosine = -(normals @ self.layout.rotation.T * placed).sum(axis=1) / np.linalg.norm(placed, axis=1)
        facing = np.abs(cosine) if two_sided else cosine
        col, row = np.clip(u.astype(int), 0, SIZE - 1), np.clip(v.astype(int), 0, SIZE - 1)
        framed = (u >= 0) & (u < SIZE) & (v >= 0) & (v < SIZE)
        seen = framed & (z <= self.depth[row, col] + DEPTH_SLACK * self.layout.scale)
        weight = seen * _ramp(facing, *FACING) * _ramp(self.photo.inside_px[row, col], *EDGE_PX)
        places = np.stack([v - 0.5, u - 0.5])
        found = np.stack(
            [map_coordinates(self.photo.colour[..., c], places, order=1, mode="nearest") for c in range(3)],
            axis=-1,
        )
        return weight.astype(np.float32), found.astype(np.float32)


def photo_view(image: NDArray[np.uint8], mask: NDArray[np.bool_], intrinsics: Intrinsics) -> PhotoView:
    """Cut the crop once per target."""
    window = crop_square(mask)
    zoom = SIZE / window.side
    return PhotoView(
        colour=resample_colour(image, window, SIZE).astype(np.float32) / np.float32(255),
        inside_px=distance_transform_edt(resample_mask(mask, window, SIZE)).astype(np.float32),
        camera=Intrinsics(
            fx=intrinsics.fx * zoom,
            fy=intrinsics.fy * zoom,
            cx=(intrinsics.cx - window.left) * zoom,
            cy=(intrinsics.cy - window.top) * zoom,
            width=SIZE,
            height=SIZE,
        ),
    )


def seen_surface(photo: PhotoView, layout: Layout, vertices: Floats, faces: NDArray[np.int32]) -> SeenSurface:
    """Find out what of an object-frame mesh the photograph shows."""
    drawn = rasterise(layout.place(vertices.astype(np.float64)), faces, photo.camera)
    return SeenSurface(photo=photo, layout=layout, depth=drawn.depth)


def _ramp(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))
