"""What the structured latent must say about a procedural object: fields and colours on the voxels of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray

from training.data.objects import ProceduralObject, object_colour
from training.data.primitives import BOX, ELLIPSOID, Primitives

DISPLAY_GAMMA = 1.0 / 1.6  # the ray caster's; colours in photographs are display values, so targets are too
ALBEDO_SHARE = 0.85  # an evenly lit surface in the ray caster's photographs

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ObjectCells:
    """Field (N, V) in voxels, positive inside, and display colours (N, V, 3) in [0, 1] of N cells.

    ``surface`` (N, V, 3) is the surface point nearest to each voxel's centre, in the object frame, and ``normal``
    (N, V, 3) points outwards there; both are meant only where the field is within one voxel of zero.
    """

    coords: NDArray[np.int64]
    field: Floats
    colour: Floats
    surface: Floats
    normal: Floats


def object_field(item: ProceduralObject, *, resolution: int = 64) -> Floats:
    """Signed distance (R, R, R) in voxels at voxel centres, positive inside; exact in sign, near enough in size."""
    axis = (np.arange(resolution) + 0.5) / resolution - 0.5
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return (-resolution * _distances(item.solids, points)).reshape(resolution, resolution, resolution)


def perturbed(field: Floats, rng: Generator, *, amplitude: float) -> Floats:
    """The field plus smooth noise of ``amplitude`` voxels: a shape that is wrong the way a generated one is."""
    noise = np.zeros_like(field)
    for n, weight in ((4, 0.6), (8, 0.5), (16, 0.4)):
        lattice = torch.from_numpy(rng.normal(size=(1, 1, n, n, n)).astype(np.float32))
        noise += weight * F.interpolate(lattice, size=field.shape, mode="trilinear")[0, 0].numpy()
    return (field + amplitude * noise).astype(np.float32)


def cells_of(
    item: ProceduralObject, coords: NDArray[np.int64], *, grid: int = 16, cell: int = 4
) -> ObjectCells:
    """The content of the object's cells ``coords`` (N, 3)."""
    assert coords.ndim == 2 and coords.shape[1] == 3, coords.shape
    inner = np.stack(np.meshgrid(*[np.arange(cell)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    resolution = grid * cell
    points = (coords[:, None] * cell + inner[None] + 0.5) / resolution - 0.5
    flat = points.reshape(-1, 3)
    field = (-resolution * _distances(item.solids, flat)).astype(np.float32)
    colour = display_colour(item, flat)
    normal = np.zeros_like(flat)
    near = np.abs(field) < 1.0
    normal[near] = _outward(item.solids, flat[near])
    surface = flat + normal * field[:, None] / resolution
    shape = (len(coords), cell**3)
    return ObjectCells(
        coords=coords,
        field=field.reshape(shape),
        colour=colour.reshape(*shape, 3),
        surface=surface.reshape(*shape, 3).astype(np.float32),
        normal=normal.reshape(*shape, 3).astype(np.float32),
    )


@dataclass(frozen=True, kw_only=True)
class NearestSurface:
    """Per point: signed distance (M,) in the object frame, negative inside; what the surface is where it is nearest."""

    distance: Floats
    surface: Floats  # (M, 3)
    normal: Floats  # (M, 3), outwards
    colour: Floats  # (M, 3), as display_colour


def nearest_surface(item: ProceduralObject, points: NDArray[np.floating]) -> NearestSurface:
    """What the object's surface is nearest to points (M, 3) of the object frame; meant for points close to it."""
    assert points.ndim == 2 and points.shape[1] == 3, points.shape
    exact = points.astype(np.float64)
    distance, normal = _distances(item.solids, exact), _outward(item.solids, exact)
    return NearestSurface(
        distance=distance,
        surface=(exact - normal * distance[:, None]).astype(np.float32),
        normal=normal.astype(np.float32),
        colour=display_colour(item, points),
    )


def display_colour(item: ProceduralObject, points: NDArray[np.floating]) -> Floats:
    """Evenly lit colours (M, 3) in [0, 1], as a photograph would show them, of the surface nearest to each point."""
    shown = np.clip(ALBEDO_SHARE * object_colour(item, points), 0, 1) ** DISPLAY_GAMMA
    return np.asarray(shown, dtype=np.float32)


def _outward(solids: Primitives, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit gradient of the distance by central differences."""
    step = 1e-3
    gradient = np.stack(
        [_distances(solids, points + step * e) - _distances(solids, points - step * e) for e in np.eye(3)],
        axis=-1,
    )
    length = np.linalg.norm(gradient, axis=-1, keepdims=True)
    return np.asarray(gradient / np.maximum(length, 1e-9), dtype=np.float64)


def _distances(solids: Primitives, points: NDArray[np.float64]) -> Floats:
    found: Floats = _signed_distance(
        solids.kind,
        solids.inverse,
        solids.centre,
        solids.carve_kind,
        solids.carve_centre,
        solids.carve_half,
        solids.extent,
        np.ascontiguousarray(points, dtype=np.float64),
    )
    return found


@numba.njit(cache=True, inline="always")
def _solid_distance(kind, x, y, z, ex, ey, ez):  # type: ignore[no-untyped-def]
    """First-order distance to a unit solid with half sizes e: value over gradient length, exact for a box inside."""
    if kind == BOX:
        dx, dy, dz = (abs(x) - 1.0) * ex, (abs(y) - 1.0) * ey, (abs(z) - 1.0) * ez
        ox, oy, oz = max(dx, 0.0), max(dy, 0.0), max(dz, 0.0)
        return np.sqrt(ox * ox + oy * oy + oz * oz) + min(max(dx, dy, dz), 0.0)
    if kind == ELLIPSOID:
        length = np.sqrt(x * x + y * y + z * z)
        gradient = np.sqrt((x / ex) ** 2 + (y / ey) ** 2 + (z / ez) ** 2)
        return (length - 1.0) * length / max(gradient, 1e-9) if gradient > 1e-9 else -min(ex, ey, ez)
    length = np.sqrt(x * x + y * y)
    gradient = np.sqrt((x / ex) ** 2 + (y / ey) ** 2)
    around = (length - 1.0) * length / gradient if gradient > 1e-9 else -min(ex, ey)
    along = (abs(z) - 1.0) * ez
    oa, ol = max(around, 0.0), max(along, 0.0)
    return np.sqrt(oa * oa + ol * ol) + min(max(around, along), 0.0)


@numba.njit(cache=True)
def _signed_distance(  # type: ignore[no-untyped-def]
    kind, inverse, centre, carve_kind, carve_centre, carve_half, extent, points
):
    out = np.empty(points.shape[0], np.float32)
    for p in range(points.shape[0]):
        best = 1e30
        for n in range(kind.shape[0]):
            m = inverse[n]
            px, py, pz = points[p, 0] - centre[n, 0], points[p, 1] - centre[n, 1], points[p, 2] - centre[n, 2]
            x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz
            y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz
            z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz
            ex, ey, ez = extent[n, 0], extent[n, 1], extent[n, 2]
            distance = _solid_distance(kind[n], x, y, z, ex, ey, ez)
            if carve_kind[n] >= 0 and distance < best:
                hx, hy, hz = carve_half[n, 0], carve_half[n, 1], carve_half[n, 2]
                hollow = _solid_distance(
                    carve_kind[n],
                    (x - carve_centre[n, 0]) / hx,
                    (y - carve_centre[n, 1]) / hy,
                    (z - carve_centre[n, 2]) / hz,
                    hx * ex,
                    hy * ey,
                    hz * ez,
                )
                distance = max(distance, -hollow)
            best = min(best, distance)
        out[p] = best
    return out
