"""The camera of the procedural worlds: an exact numba ray caster from primitives to colour, depth and mask."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics
from training.data.primitives import BOX, ELLIPSOID, Floats, Primitives, pattern_mix, span_unit, value_noise

TARGET, CLUTTER, OCCLUDER = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Planes:
    """M endless planes n.x = d in the camera frame, n towards the camera; textured by noise along ``axes``."""

    normal: Floats  # M x 3
    offset: Floats  # M
    axes: Floats  # M x 2 x 3
    colour: Floats  # M x 2 x 3
    frequency: Floats  # M


@dataclass(frozen=True, kw_only=True)
class Light:
    """One directional light (direction towards it, camera frame), ambient share, colour; may cast shadows."""

    direction: Floats  # 3
    ambient: float
    tint: Floats  # 3
    shadows: bool


@dataclass(frozen=True, kw_only=True)
class Sky:
    """What is behind everything: a gradient of two colours, mottled with a third."""

    colours: Floats  # 3 x 3
    frequency: float
    amount: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What the camera saw. Depth is z (OpenCV), NaN at the sky; ``visible`` is the share of the target not hidden."""

    rgb: NDArray[np.uint8]  # H x W x 3
    depth: NDArray[np.float32]  # H x W
    mask: NDArray[np.bool_]  # H x W, visible part of the target
    num_target_rays: int  # rays that meet the target, hidden or not

    @property
    def visible(self) -> float:
        return float(self.mask.sum()) / max(1, self.num_target_rays)


def render(
    solids: Primitives,
    labels: NDArray[np.int64],
    planes: Planes,
    light: Light,
    sky: Sky,
    *,
    intrinsics: Intrinsics,
    supersample: int = 2,
) -> Rendering:
    """Render solids given in the camera frame; ``labels`` says which primitive belongs to TARGET, CLUTTER, OCCLUDER."""
    half = solids.half_bounds()
    rgb, depth, mask, met = _render(
        solids.kind,
        solids.inverse,
        solids.centre,
        (half**2).sum(axis=1),
        solids.carve_kind,
        solids.carve_centre,
        solids.carve_half,
        solids.colour,
        solids.pattern,
        solids.frequency,
        solids.extent,
        labels,
        planes.normal,
        planes.offset,
        planes.axes,
        planes.colour,
        planes.frequency,
        light.direction,
        light.ambient,
        light.tint,
        light.shadows,
        sky.colours,
        np.array([sky.frequency, sky.amount, float(sky.seed)]),
        np.array([intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy]),
        intrinsics.height,
        intrinsics.width,
        supersample,
    )
    return Rendering(rgb=rgb, depth=depth, mask=mask.view(np.bool_), num_target_rays=int(met))


@numba.njit(cache=True)
def nearest_hit(  # type: ignore[no-untyped-def]
    kind,
    inverse,
    centre,
    radius_sq,
    carve_kind,
    carve_centre,
    carve_half,
    ox,
    oy,
    oz,
    dx,
    dy,
    dz,
    first,
    least,
):
    """Nearest hit beyond ``least``: distance along the unit ray, owner (-1: none) and whether it is a carved face."""
    best, owner, carved = first, -1, False
    for n in range(kind.shape[0]):
        cx, cy, cz = centre[n, 0] - ox, centre[n, 1] - oy, centre[n, 2] - oz
        along = cx * dx + cy * dy + cz * dz
        if cx * cx + cy * cy + cz * cz - along * along > radius_sq[n]:
            continue
        m = inverse[n]
        lox, loy, loz = (
            -(m[0, 0] * cx + m[0, 1] * cy + m[0, 2] * cz),
            -(m[1, 0] * cx + m[1, 1] * cy + m[1, 2] * cz),
            -(m[2, 0] * cx + m[2, 1] * cy + m[2, 2] * cz),
        )
        ldx, ldy, ldz = (
            m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz,
            m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz,
            m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz,
        )
        enter, leave = span_unit(kind[n], lox, loy, loz, ldx, ldy, ldz)
        if enter >= leave or leave <= least:
            continue
        at, is_carved = enter, False
        if carve_kind[n] >= 0:
            hx, hy, hz = carve_half[n, 0], carve_half[n, 1], carve_half[n, 2]
            start, stop = span_unit(
                carve_kind[n],
                (lox - carve_centre[n, 0]) / hx,
                (loy - carve_centre[n, 1]) / hy,
                (loz - carve_centre[n, 2]) / hz,
                ldx / hx,
                ldy / hy,
                ldz / hz,
            )
            if start < stop and start <= max(enter, least) < stop:
                if stop >= leave:
                    continue
                at, is_carved = stop, True
        if at > least and at < best:
            best, owner, carved = at, n, is_carved
    return best, owner, carved


@numba.njit(cache=True)
def local_normal(  # type: ignore[no-untyped-def]
    kind, x, y, z
):
    if kind == ELLIPSOID:
        return x, y, z
    if kind == BOX:
        if abs(x) >= abs(y) and abs(x) >= abs(z):
            return (1.0 if x > 0 else -1.0), 0.0, 0.0
        if abs(y) >= abs(z):
            return 0.0, (1.0 if y > 0 else -1.0), 0.0
        return 0.0, 0.0, (1.0 if z > 0 else -1.0)
    if abs(z) > np.sqrt(x * x + y * y):
        return 0.0, 0.0, (1.0 if z > 0 else -1.0)
    return x, y, 0.0


@numba.njit(cache=True)
def _render(  # type: ignore[no-untyped-def]
    kind,
    inverse,
    centre,
    radius_sq,
    carve_kind,
    carve_centre,
    carve_half,
    colour,
    pattern,
    frequency,
    extent,
    labels,
    plane_normal,
    plane_offset,
    plane_axes,
    plane_colour,
    plane_frequency,
    light,
    ambient,
    tint,
    shadows,
    sky,
    sky_noise,
    camera,
    height,
    width,
    supersample,
):
    rgb = np.zeros((height, width, 3), np.uint8)
    depth = np.full((height, width), np.nan, np.float32)
    mask = np.zeros((height, width), np.uint8)
    met = 0
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    target = labels == TARGET
    own_kind, own_inverse, own_centre = kind[target], inverse[target], centre[target]
    own_radius_sq, own_carve_kind = radius_sq[target], carve_kind[target]
    own_carve_centre, own_carve_half = carve_centre[target], carve_half[target]
    total = np.zeros(3)
    shade = np.zeros(3)
    normal = np.zeros(3)
    for row in range(height):
        for col in range(width):
            total[:] = 0.0
            for sub in range(supersample * supersample):
                # A low-discrepancy pattern whose first ray is the pixel's centre: the one that gives depth and mask.
                dx = (col + (0.5 + sub * 0.7548776662) % 1.0 - cx) / fx
                dy = (row + (0.5 + sub * 0.5698402910) % 1.0 - cy) / fy
                norm = 1.0 / np.sqrt(dx * dx + dy * dy + 1.0)
                dx, dy, dz = dx * norm, dy * norm, norm
                best, owner, carved = nearest_hit(
                    kind,
                    inverse,
                    centre,
                    radius_sq,
                    carve_kind,
                    carve_centre,
                    carve_half,
                    0.0,
                    0.0,
                    0.0,
                    dx,
                    dy,
                    dz,
                    1e29,
                    1e-6,
                )
                plane = -1
                for p in range(plane_offset.shape[0]):
                    facing = plane_normal[p, 0] * dx + plane_normal[p, 1] * dy + plane_normal[p, 2] * dz
                    if facing < -1e-6:
                        at = plane_offset[p] / facing
                        if 0.0 < at < best:
                            best, plane = at, p
                is_sample = sub == 0
                if owner < 0 and plane < 0:
                    level = sky_noise[1] * value_noise(
                        dx * sky_noise[0], dy * sky_noise[0], 0.5, int(sky_noise[2])
                    )
                    blend = min(1.0, max(0.0, 0.5 + 0.9 * dy))
                    for c in range(3):
                        base = (1 - blend) * sky[0, c] + blend * sky[1, c]
                        shade[c] = base + (sky[2, c] - base) * level
                else:
                    hx, hy, hz = best * dx, best * dy, best * dz
                    if plane >= 0:
                        u = (
                            plane_axes[plane, 0, 0] * hx
                            + plane_axes[plane, 0, 1] * hy
                            + plane_axes[plane, 0, 2] * hz
                        )
                        v = (
                            plane_axes[plane, 1, 0] * hx
                            + plane_axes[plane, 1, 1] * hy
                            + plane_axes[plane, 1, 2] * hz
                        )
                        scale = plane_frequency[plane]
                        mix = 0.65 * value_noise(u * scale, v * scale, 0.5, plane + 3)
                        mix += 0.35 * value_noise(u * scale * 3.7, v * scale * 3.7, 0.5, plane + 11)
                        for c in range(3):
                            shade[c] = (1 - mix) * plane_colour[plane, 0, c] + mix * plane_colour[plane, 1, c]
                            normal[c] = plane_normal[plane, c]
                    else:
                        m = inverse[owner]
                        px, py, pz = hx - centre[owner, 0], hy - centre[owner, 1], hz - centre[owner, 2]
                        x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz
                        y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz
                        z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz
                        if carved:
                            ax, ay, az = carve_half[owner, 0], carve_half[owner, 1], carve_half[owner, 2]
                            nx, ny, nz = local_normal(
                                carve_kind[owner],
                                (x - carve_centre[owner, 0]) / ax,
                                (y - carve_centre[owner, 1]) / ay,
                                (z - carve_centre[owner, 2]) / az,
                            )
                            nx, ny, nz = -nx / ax, -ny / ay, -nz / az
                        else:
                            nx, ny, nz = local_normal(kind[owner], x, y, z)
                        for c in range(3):
                            normal[c] = m[0, c] * nx + m[1, c] * ny + m[2, c] * nz
                        length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
                        for c in range(3):
                            normal[c] /= length
                        ex, ey, ez = extent[owner, 0], extent[owner, 1], extent[owner, 2]
                        mix = pattern_mix(pattern[owner], frequency[owner], x * ex, y * ey, z * ez, ez)
                        for c in range(3):
                            shade[c] = (1 - mix) * colour[owner, 0, c] + mix * colour[owner, 1, c]
                    facing = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
                    lit = max(0.0, facing)
                    if shadows and lit > 0.0:
                        lift = 1e-3 * best
                        _, blocker, _ = nearest_hit(
                            kind,
                            inverse,
                            centre,
                            radius_sq,
                            carve_kind,
                            carve_centre,
                            carve_half,
                            hx + lift * normal[0],
                            hy + lift * normal[1],
                            hz + lift * normal[2],
                            light[0],
                            light[1],
                            light[2],
                            1e29,
                            1e-6,
                        )
                        if blocker >= 0:
                            lit = 0.0
                    sideways = 0.5 - 0.5 * normal[1]
                    for c in range(3):
                        shade[c] *= ambient * (0.6 + 0.4 * sideways) + (1.0 - ambient) * lit * tint[c] * 1.25
                    if is_sample:
                        depth[row, col] = hz
                        if plane < 0 and labels[owner] == TARGET:
                            mask[row, col] = 1
                if is_sample:
                    if mask[row, col] == 1:
                        met += 1
                    else:
                        _, own, _ = nearest_hit(
                            own_kind,
                            own_inverse,
                            own_centre,
                            own_radius_sq,
                            own_carve_kind,
                            own_carve_centre,
                            own_carve_half,
                            0.0,
                            0.0,
                            0.0,
                            dx,
                            dy,
                            dz,
                            1e29,
                            1e-6,
                        )
                        if own >= 0:
                            met += 1
                for c in range(3):
                    total[c] += min(1.0, max(0.0, shade[c]))
            for c in range(3):
                value = total[c] / (supersample * supersample)
                rgb[row, col, c] = np.uint8(min(255.0, 255.0 * value ** (1 / 1.6) + 0.5))
    return rgb, depth, mask, met
