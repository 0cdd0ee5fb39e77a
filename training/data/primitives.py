"""Primitive solids (box, ellipsoid, cylinder) with an optional carved-out part: occupancy, rays and colour, in numba.

Each primitive is the unit solid of its kind under an affine map: ``local = inverse @ (point - centre)``, and a point is
inside when its local coordinates lie in the unit box, ball or cylinder (axis = local z). The carved-out part is a
second solid given in the same local coordinates. One representation therefore gives occupancy, ray hits and colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

BOX, ELLIPSOID, CYLINDER = 0, 1, 2
PLAIN, STRIPES, CHECKER, GRADIENT, MOTTLED = 0, 1, 2, 3, 4

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Primitives:
    """N primitives as arrays; colours are linear RGB in [0, 1]."""

    kind: NDArray[np.int64]  # N
    inverse: Floats  # N x 3 x 3, frame to local
    centre: Floats  # N x 3
    carve_kind: NDArray[np.int64]  # N, -1 where nothing is carved out
    carve_centre: Floats  # N x 3, local
    carve_half: Floats  # N x 3, local
    colour: Floats  # N x 2 x 3
    pattern: NDArray[np.int64]  # N
    frequency: Floats  # N
    extent: Floats  # N x 3, half sizes in the object's units, for patterns

    def __len__(self) -> int:
        return int(self.kind.shape[0])

    def half_bounds(self) -> Floats:
        """Half sizes (N x 3) of each primitive's axis-aligned bounding box."""
        forward = np.linalg.inv(self.inverse)
        box = np.abs(forward).sum(axis=2)
        ball = np.sqrt((forward**2).sum(axis=2))
        tube = np.sqrt((forward[:, :, :2] ** 2).sum(axis=2)) + np.abs(forward[:, :, 2])
        kinds = self.kind[:, None]
        half: Floats = np.where(kinds == BOX, box, np.where(kinds == ELLIPSOID, ball, tube))
        return half

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper corner of everything (carved-out parts are not subtracted)."""
        half = self.half_bounds()
        return (self.centre - half).min(axis=0), (self.centre + half).max(axis=0)

    def mapped(self, linear: Floats, translation: Floats) -> Primitives:
        """The same solids after ``point -> linear @ point + translation``."""
        return replace(
            self,
            inverse=self.inverse @ np.linalg.inv(linear),
            centre=self.centre @ linear.T + translation,
        )


def concatenate(parts: list[Primitives]) -> Primitives:
    """All primitives of ``parts``, in order."""
    names = Primitives.__dataclass_fields__
    return Primitives(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def occupancy(solids: Primitives, *, resolution: int) -> NDArray[np.bool_]:
    """Solid occupancy of the unit cube, indexed [x, y, z]; voxel i has its centre at (i + .5) / resolution - .5."""
    grid = _occupancy(
        solids.kind,
        solids.inverse,
        solids.centre,
        solids.carve_kind,
        solids.carve_centre,
        solids.carve_half,
        solids.half_bounds(),
        resolution,
    )
    solid: NDArray[np.bool_] = grid.view(np.bool_)
    return solid


def surface_field(
    solids: Primitives, points: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signed distance (M, negative inside, exact in sign) and colour (M x 3 in [0, 1]) of the nearest surface."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be M x 3, not {points.shape}")
    distance, colour = _surface_field(
        solids.kind,
        solids.inverse,
        solids.centre,
        solids.carve_kind,
        solids.carve_centre,
        solids.carve_half,
        solids.colour,
        solids.pattern,
        solids.frequency,
        solids.extent,
        np.ascontiguousarray(points, dtype=np.float64),
    )
    return distance, colour


@numba.njit(cache=True, inline="always")
def inside_unit(kind: int, x: float, y: float, z: float) -> bool:
    if kind == BOX:
        return abs(x) <= 1.0 and abs(y) <= 1.0 and abs(z) <= 1.0
    if kind == ELLIPSOID:
        return x * x + y * y + z * z <= 1.0
    return x * x + y * y <= 1.0 and abs(z) <= 1.0


@numba.njit(cache=True)
def span_unit(  # type: ignore[no-untyped-def]
    kind, ox, oy, oz, dx, dy, dz
):
    """Entry and exit of a ray through a unit solid; (1, 0) when it misses."""
    enter, leave = -1e30, 1e30
    if kind != BOX:
        a = dx * dx + dy * dy
        b = ox * dx + oy * dy
        c = ox * ox + oy * oy - 1.0
        if kind == ELLIPSOID:
            a += dz * dz
            b += oz * dz
            c += oz * oz
        if a < 1e-14:
            if c > 0.0:
                return 1.0, 0.0
        else:
            root = b * b - a * c
            if root <= 0.0:
                return 1.0, 0.0
            root = np.sqrt(root)
            enter = (-b - root) / a
            leave = (-b + root) / a
        if kind == ELLIPSOID:
            return enter, leave
    if kind == BOX:
        if abs(dx) < 1e-12:
            if abs(ox) > 1.0:
                return 1.0, 0.0
        else:
            near, far = (-1.0 - ox) / dx, (1.0 - ox) / dx
            enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
        if abs(dy) < 1e-12:
            if abs(oy) > 1.0:
                return 1.0, 0.0
        else:
            near, far = (-1.0 - oy) / dy, (1.0 - oy) / dy
            enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    if abs(dz) < 1e-12:
        if abs(oz) > 1.0:
            return 1.0, 0.0
    else:
        near, far = (-1.0 - oz) / dz, (1.0 - oz) / dz
        enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    if enter >= leave:
        return 1.0, 0.0
    return enter, leave


@numba.njit(cache=True)
def hash_unit(i: int, j: int, k: int, seed: int) -> float:
    """A repeatable number in [0, 1) for a lattice point."""
    h = (i * 374761393 + j * 668265263 + k * 2147483647 + seed * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = (h ^ (h >> 16)) & 0xFFFF
    return h / 65536.0


@numba.njit(cache=True)
def value_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in [0, 1] of three coordinates (trilinear between lattice points)."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - i, y - j, z - k
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    total = 0.0
    for a in range(2):
        wa = fx if a else 1.0 - fx
        for b in range(2):
            wb = fy if b else 1.0 - fy
            for c in range(2):
                wc = fz if c else 1.0 - fz
                total += wa * wb * wc * hash_unit(i + a, j + b, k + c, seed)
    return total


@numba.njit(cache=True)
def pattern_mix(pattern: int, frequency: float, x: float, y: float, z: float, top: float) -> float:
    """How much of the second colour shows at a point of a primitive (object units, ``top`` = half height)."""
    if pattern == PLAIN:
        return 0.0
    if pattern == STRIPES:
        return 1.0 if np.sin(frequency * z) > 0.0 else 0.0
    if pattern == CHECKER:
        cells = (
            np.floor(frequency * x / np.pi)
            + np.floor(frequency * y / np.pi)
            + np.floor(frequency * z / np.pi)
        )
        return 1.0 if int(cells) % 2 == 0 else 0.0
    if pattern == GRADIENT:
        return min(1.0, max(0.0, 0.5 + 0.5 * z / top))
    return value_noise(frequency * x, frequency * y, frequency * z, 7)


@numba.njit(cache=True)
def _occupancy(  # type: ignore[no-untyped-def]
    kind, inverse, centre, carve_kind, carve_centre, carve_half, half, resolution
):
    grid = np.zeros((resolution, resolution, resolution), np.uint8)
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for n in range(kind.shape[0]):
        for axis in range(3):
            low[axis] = max(0, int(np.floor((centre[n, axis] - half[n, axis] + 0.5) * resolution - 0.5)))
            high[axis] = min(
                resolution, int(np.ceil((centre[n, axis] + half[n, axis] + 0.5) * resolution + 0.5))
            )
        m = inverse[n]
        for i in range(low[0], high[0]):
            px = (i + 0.5) / resolution - 0.5 - centre[n, 0]
            for j in range(low[1], high[1]):
                py = (j + 0.5) / resolution - 0.5 - centre[n, 1]
                for k in range(low[2], high[2]):
                    if grid[i, j, k]:
                        continue
                    pz = (k + 0.5) / resolution - 0.5 - centre[n, 2]
                    x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz
                    y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz
                    z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz
                    if not inside_unit(kind[n], x, y, z):
                        continue
                    if carve_kind[n] >= 0 and inside_unit(
                        carve_kind[n],
                        (x - carve_centre[n, 0]) / carve_half[n, 0],
                        (y - carve_centre[n, 1]) / carve_half[n, 1],
                        (z - carve_centre[n, 2]) / carve_half[n, 2],
                    ):
                        continue
                    grid[i, j, k] = 1
    return grid


@numba.njit(cache=True)
def _signed_distance(  # type: ignore[no-untyped-def]
    kind, x, y, z, ex, ey, ez
):
    """Signed distance to a solid of half sizes e, good enough near its surface to say whose surface is nearest."""
    if kind == BOX:
        return max((abs(x) - 1.0) * ex, (abs(y) - 1.0) * ey, (abs(z) - 1.0) * ez)
    if kind == ELLIPSOID:
        return (np.sqrt(x * x + y * y + z * z) - 1.0) * (ex + ey + ez) / 3.0
    return max((np.sqrt(x * x + y * y) - 1.0) * 0.5 * (ex + ey), (abs(z) - 1.0) * ez)


@numba.njit(cache=True)
def _surface_field(  # type: ignore[no-untyped-def]
    kind, inverse, centre, carve_kind, carve_centre, carve_half, colour, pattern, frequency, extent, points
):
    out = np.zeros((points.shape[0], 3), np.float32)
    signed = np.full(points.shape[0], 1e30, np.float32)
    for p in range(points.shape[0]):
        best, mix, owner = 1e30, 0.0, 0
        for n in range(kind.shape[0]):
            m = inverse[n]
            px, py, pz = points[p, 0] - centre[n, 0], points[p, 1] - centre[n, 1], points[p, 2] - centre[n, 2]
            x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz
            y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz
            z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz
            ex, ey, ez = extent[n, 0], extent[n, 1], extent[n, 2]
            distance = _signed_distance(kind[n], x, y, z, ex, ey, ez)
            if carve_kind[n] >= 0:
                hx, hy, hz = carve_half[n, 0], carve_half[n, 1], carve_half[n, 2]
                hollow = _signed_distance(
                    carve_kind[n],
                    (x - carve_centre[n, 0]) / hx,
                    (y - carve_centre[n, 1]) / hy,
                    (z - carve_centre[n, 2]) / hz,
                    hx * ex,
                    hy * ey,
                    hz * ez,
                )
                distance = max(distance, -hollow)
            signed[p] = min(signed[p], distance)
            if abs(distance) < best:
                best, owner = abs(distance), n
                mix = pattern_mix(pattern[n], frequency[n], x * ex, y * ey, z * ez, ez)
        for c in range(3):
            out[p, c] = (1.0 - mix) * colour[owner, 0, c] + mix * colour[owner, 1, c]
    return signed, out
