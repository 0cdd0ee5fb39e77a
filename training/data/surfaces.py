"""What a camera sees of one posed object alone: unlit colour, normal and depth, of primitives or of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics
from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.frames import pixel_grid, unproject
from modelzoo.silhouette import rasterise
from training.data.cells import ALBEDO_SHARE, DISPLAY_GAMMA
from training.data.primitives import Floats, Primitives, pattern_mix
from training.data.raycast import local_normal, nearest_hit


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Seen through H x W pixel centres. Albedo is linear and not negative; normals are unit, camera frame, towards it.

    ``depth`` is along z, infinite beside the object; albedo and normals are zero there.
    """

    albedo: NDArray[np.float32]  # H x W x 3
    normal: NDArray[np.float32]  # H x W x 3
    depth: NDArray[np.float32]  # H x W

    @property
    def mask(self) -> NDArray[np.bool_]:
        return np.isfinite(self.depth)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """T_camera_object of an object put into a picture: ``x_camera = rotation @ (scale * x_object) + translation``."""

    rotation: Floats  # 3 x 3
    translation: Floats  # 3
    scale: float


def mesh_surface(mesh: ColouredMesh, at: Placement, camera: Intrinsics) -> Surface:
    """A mesh by z-buffer, normals and colours interpolated; both sides of a triangle are seen."""
    placed = at.scale * (mesh.vertices.astype(np.float64) @ at.rotation.T) + at.translation
    told = np.concatenate([linear_albedo(mesh.colours), mesh.normals @ at.rotation.T], axis=1)
    drawn = rasterise(placed, mesh.faces, camera, colours=told)
    return Surface(
        albedo=drawn.colour[..., :3],
        normal=_towards_camera(drawn.colour[..., 3:], drawn.depth, camera),
        depth=drawn.depth,
    )


def solid_surface(solids: Primitives, at: Placement, camera: Intrinsics) -> Surface:
    """Primitives of the object frame by exact ray casting, inside the window that they can reach."""
    placed = solids.mapped(at.rotation * at.scale, at.translation)
    window = _window(*placed.bounds(), camera)
    albedo, normal, depth = _first_hits(
        placed.kind,
        placed.inverse,
        placed.centre,
        (placed.half_bounds() ** 2).sum(axis=1),
        placed.carve_kind,
        placed.carve_centre,
        placed.carve_half,
        placed.colour,
        placed.pattern,
        placed.frequency,
        placed.extent,
        np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
        np.array(window),
        camera.height,
        camera.width,
    )
    return Surface(albedo=albedo, normal=normal, depth=depth)


def linear_albedo(colours: NDArray[np.floating]) -> Floats:
    """Albedo (..., 3) that, evenly lit, shows as display colours in [0, 1]; the inverse of ``cells.display_colour``."""
    return np.asarray(np.clip(colours, 0.0, 1.0) ** (1.0 / DISPLAY_GAMMA) / ALBEDO_SHARE, dtype=np.float64)


def _towards_camera(
    normals: NDArray[np.float32], depth: NDArray[np.float32], camera: Intrinsics
) -> NDArray[np.float32]:
    """Interpolated normals made unit, and turned over where they look away from the camera."""
    shown = np.isfinite(depth)
    pixels = pixel_grid(width=camera.width, height=camera.height)[shown]
    rays = unproject(pixels, np.ones(len(pixels)), camera)
    seen = normals[shown].astype(np.float64)
    seen *= np.where((seen * rays).sum(axis=1) > 0, -1.0, 1.0)[:, None]
    turned = np.zeros_like(normals)
    turned[shown] = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9)
    return turned


def _window(low: Floats, high: Floats, camera: Intrinsics) -> tuple[int, int, int, int]:
    """Rows and columns (first, beyond the last; twice) that a camera-frame box can reach; all when it is too near."""
    if low[2] <= 1e-6:
        return 0, camera.height, 0, camera.width
    across = [camera.fx * x / z + camera.cx for x in (low[0], high[0]) for z in (low[2], high[2])]
    down = [camera.fy * y / z + camera.cy for y in (low[1], high[1]) for z in (low[2], high[2])]
    return (
        int(np.clip(np.floor(min(down)), 0, camera.height)),
        int(np.clip(np.ceil(max(down)), 0, camera.height)),
        int(np.clip(np.floor(min(across)), 0, camera.width)),
        int(np.clip(np.ceil(max(across)), 0, camera.width)),
    )


@numba.njit(cache=True)
def _first_hits(  # type: ignore[no-untyped-def]
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
    camera,
    window,
    height,
    width,
):
    albedo = np.zeros((height, width, 3), np.float32)
    normals = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    normal = np.zeros(3)
    for row in range(window[0], window[1]):
        for col in range(window[2], window[3]):
            dx, dy = (col + 0.5 - camera[2]) / camera[0], (row + 0.5 - camera[3]) / camera[1]
            dz = 1.0 / np.sqrt(dx * dx + dy * dy + 1.0)
            dx, dy = dx * dz, dy * dz
            best, n, carved = nearest_hit(
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
            if n < 0:
                continue
            m = inverse[n]
            px, py, pz = best * dx - centre[n, 0], best * dy - centre[n, 1], best * dz - centre[n, 2]
            x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz
            y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz
            z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz
            if carved:
                hx, hy, hz = carve_half[n, 0], carve_half[n, 1], carve_half[n, 2]
                nx, ny, nz = local_normal(
                    carve_kind[n],
                    (x - carve_centre[n, 0]) / hx,
                    (y - carve_centre[n, 1]) / hy,
                    (z - carve_centre[n, 2]) / hz,
                )
                nx, ny, nz = -nx / hx, -ny / hy, -nz / hz
            else:
                nx, ny, nz = local_normal(kind[n], x, y, z)
            for c in range(3):
                normal[c] = m[0, c] * nx + m[1, c] * ny + m[2, c] * nz
            length = np.sqrt((normal**2).sum())
            ex, ey, ez = extent[n, 0], extent[n, 1], extent[n, 2]
            mix = pattern_mix(pattern[n], frequency[n], x * ex, y * ey, z * ez, ez)
            for c in range(3):
                normals[row, col, c] = normal[c] / length
                albedo[row, col, c] = (1 - mix) * colour[n, 0, c] + mix * colour[n, 1, c]
            depth[row, col] = best * dz
    return albedo, normals, depth
