"""Open3D's ICP: brings a scene's points onto the seen part of a surface. Loading it takes seconds: import it late."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import libusb_package
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 30  # of one ICP at most
TUKEY_SHARE = 0.5  # of the reach: farther points count for nothing


def _open3d() -> Any:
    """Open3D with the libusb that its wheel expects of the system, and without the web server of its plots."""
    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    # This one module loads dash and IPython: three quarters of the time and 100 MB, for plots that nobody here makes.
    plots = ModuleType("open3d.visualization.draw_plotly")
    plots.__dict__.update(get_plotly_fig=None, draw_plotly=None, draw_plotly_server=None)
    sys.modules.setdefault(plots.__name__, plots)
    import open3d

    return open3d


_o3d = _open3d()
_registration = _o3d.pipelines.registration


@dataclass(frozen=True, kw_only=True)
class Fit:
    """T_surface_points (4, 4), and the share of the points that have a partner within reach."""

    transform: Floats
    fitness: float


def without_outliers(points: Floats, *, neighbours: int = 16, sigma: float = 2.0) -> Floats:
    """The points (N, 3) whose neighbours are about as near as others' are."""
    kept, _ = _cloud(points).remove_statistical_outlier(nb_neighbors=neighbours, std_ratio=sigma)
    return np.asarray(kept.points)


def thinned(points: Floats, *, cell: float) -> Floats:
    """One point, the mean, in each cell of a grid."""
    return np.asarray(_cloud(points).voxel_down_sample(cell).points)


def to_planes(points: Floats, surface: Floats, normals: Floats, *, reach: float) -> Fit:
    """Rigid point-to-plane ICP of points (N, 3) to a surface (M, 3) with unit normals, robust to what is not on it."""
    robust = _registration.TransformationEstimationPointToPlane(
        _registration.TukeyLoss(k=TUKEY_SHARE * reach)
    )
    return _icp(points, _cloud(surface, normals), reach, robust)


def to_points(points: Floats, surface: Floats, *, reach: float, with_scale: bool) -> Fit:
    """Point-to-point ICP: rigid, or a similarity ``with_scale``."""
    method = _registration.TransformationEstimationPointToPoint(with_scaling=with_scale)
    return _icp(points, _cloud(surface), reach, method)


def fitness(points: Floats, surface: Floats, *, reach: float) -> float:
    """The share of the points that have a partner on the surface within reach."""
    found = _registration.evaluate_registration(_cloud(points), _cloud(surface), reach, np.eye(4))
    return float(found.fitness)


def _icp(points: Floats, surface: object, reach: float, method: object) -> Fit:
    criteria = _registration.ICPConvergenceCriteria(max_iteration=ROUNDS)
    found = _registration.registration_icp(_cloud(points), surface, reach, np.eye(4), method, criteria)
    return Fit(transform=np.asarray(found.transformation), fitness=float(found.fitness))


def _cloud(points: Floats, normals: Floats | None = None) -> Any:
    cloud = _o3d.geometry.PointCloud(_o3d.utility.Vector3dVector(np.ascontiguousarray(points)))
    if normals is not None:
        cloud.normals = _o3d.utility.Vector3dVector(np.ascontiguousarray(normals))
    return cloud
