"""The only Python place that knows axes and quaternion order; frames.ts passes the same golden cases.

Object frame: canonical unit cube [-0.5, 0.5]^3, Z-up. Camera frame: OpenCV (x right, y down, z forward). GLB: Y-up.
A scene's GLB keeps the camera frame with y up and z backward. ``T_a_b`` maps points of frame b into frame a, column
vectors. Points are rows of (..., 3) arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzoo.contracts import Intrinsics, Pose, Unit

Floats = NDArray[np.float64]

T_GLB_OBJECT: Floats = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
T_GLB_CAMERA: Floats = np.diag([1.0, -1.0, -1.0, 1.0])


def rotation_from_wxyz(rotation_wxyz: ArrayLike) -> Floats:
    """3 x 3 matrix of a quaternion (w, x, y, z), which is normalised first. Raises ValueError on a zero one."""
    q = np.asarray(rotation_wxyz, dtype=np.float64)
    if q.shape != (4,):
        raise ValueError(f"a quaternion has 4 numbers (w, x, y, z), not shape {q.shape}")
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-12:
        raise ValueError("a quaternion of length zero is no rotation")
    w, x, y, z = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def wxyz_from_rotation(rotation: ArrayLike) -> tuple[float, float, float, float]:
    """Unit quaternion (w, x, y, z) with w >= 0 of a 3 x 3 rotation matrix."""
    m = _rotation(rotation)
    # The largest of the four squared components is at least 1/4, so dividing by it never amplifies rounding.
    squares = 1 + np.array(
        [
            m[0, 0] + m[1, 1] + m[2, 2],
            m[0, 0] - m[1, 1] - m[2, 2],
            -m[0, 0] + m[1, 1] - m[2, 2],
            -m[0, 0] - m[1, 1] + m[2, 2],
        ]
    )
    products = np.array(
        [
            [squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], squares[1], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], squares[2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[3]],
        ]
    )
    q = products[int(np.argmax(squares))]
    q = q / np.linalg.norm(q)
    q = -q if q[0] < 0 else q
    return (float(q[0]), float(q[1]), float(q[2]), float(q[3]))


def multiply_wxyz(left: ArrayLike, right: ArrayLike) -> Floats:
    """Hamilton product of quaternions (..., 4), (w, x, y, z): the rotation ``right`` first, then ``left``."""
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    w = a[..., 0] * b[..., 0] - (a[..., 1:] * b[..., 1:]).sum(axis=-1)
    xyz = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + np.cross(a[..., 1:], b[..., 1:])
    return np.concatenate([w[..., None], xyz], axis=-1)


def matrix_from_pose(pose: Pose) -> Floats:
    """T_camera_object as 4 x 4: ``[scale * R | translation]``."""
    matrix = np.eye(4)
    matrix[:3, :3] = pose.scale * rotation_from_wxyz(pose.rotation_wxyz)
    matrix[:3, 3] = pose.translation
    return matrix


def pose_from_matrix(matrix: ArrayLike, *, unit: Unit, frame: str = "camera_opencv") -> Pose:
    """The similarity in a 4 x 4 matrix. Raises ValueError when it shears, mirrors or scales its axes differently."""
    m = np.asarray(matrix, dtype=np.float64)
    if m.shape != (4, 4) or not np.all(np.isfinite(m)):
        raise ValueError("a pose matrix is 4 x 4 and finite")
    determinant = float(np.linalg.det(m[:3, :3]))
    if determinant <= 0:
        raise ValueError("a pose matrix must keep handedness and have a positive scale")
    scale = determinant ** (1 / 3)
    rotation = m[:3, :3] / scale
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4:
        raise ValueError("a pose matrix scales all axes alike and does not shear")
    return pose_from_parts(rotation=rotation, translation=m[:3, 3], scale=scale, unit=unit, frame=frame)


def pose_from_parts(
    *, rotation: ArrayLike, translation: ArrayLike, scale: float, unit: Unit, frame: str = "camera_opencv"
) -> Pose:
    """A Pose from a 3 x 3 rotation, a translation and one scale."""
    x, y, z = (float(v) for v in np.asarray(translation, dtype=np.float64).reshape(3))
    return Pose(
        rotation_wxyz=wxyz_from_rotation(rotation),
        translation=(x, y, z),
        scale=float(scale),
        unit=unit,
        frame=frame,
    )


def camera_from_object(pose: Pose, points: ArrayLike) -> Floats:
    """Object points (..., 3) in the camera frame: ``R @ (scale * x) + translation``."""
    p = _points(points)
    placed: Floats = pose.scale * (p @ rotation_from_wxyz(pose.rotation_wxyz).T) + np.asarray(
        pose.translation
    )
    return placed


def object_from_camera(pose: Pose, points: ArrayLike) -> Floats:
    """Camera points (..., 3) in the object frame; the inverse of ``camera_from_object``."""
    p = _points(points) - np.asarray(pose.translation)
    back: Floats = (p @ rotation_from_wxyz(pose.rotation_wxyz)) / pose.scale
    return back


def compose(pose_a_b: Pose, pose_b_c: Pose) -> Pose:
    """T_a_c = T_a_b T_b_c. Unit and frame are those of ``pose_a_b``, whose frame the result maps into."""
    return pose_from_matrix(
        matrix_from_pose(pose_a_b) @ matrix_from_pose(pose_b_c), unit=pose_a_b.unit, frame=pose_a_b.frame
    )


def glb_from_object(vectors: ArrayLike) -> Floats:
    """Z-up object vectors (..., 3) as Y-up GLB vectors: (x, y, z) -> (x, z, -y)."""
    v = _points(vectors)
    return np.stack([v[..., 0], v[..., 2], -v[..., 1]], axis=-1)


def object_from_glb(vectors: ArrayLike) -> Floats:
    """Y-up GLB vectors (..., 3) as Z-up object vectors: (x, y, z) -> (x, -z, y)."""
    v = _points(vectors)
    return np.stack([v[..., 0], -v[..., 2], v[..., 1]], axis=-1)


def glb_from_camera(vectors: ArrayLike) -> Floats:
    """OpenCV camera vectors (..., 3) as Y-up GLB vectors: (x, y, z) -> (x, -y, -z); its own inverse."""
    return _points(vectors) * np.diag(T_GLB_CAMERA)[:3]


def xyzw_from_wxyz(rotations_wxyz: ArrayLike) -> Floats:
    """Quaternions (..., 4) in the order that glTF and SPZ store them in."""
    return np.roll(np.asarray(rotations_wxyz, dtype=np.float64), -1, axis=-1)


def wxyz_from_xyzw(rotations_xyzw: ArrayLike) -> Floats:
    """The inverse of ``xyzw_from_wxyz``."""
    return np.roll(np.asarray(rotations_xyzw, dtype=np.float64), 1, axis=-1)


def project(points_camera: ArrayLike, intrinsics: Intrinsics) -> Floats:
    """Pixels (..., 2) of camera points (..., 3); (0, 0) is the image's top left corner, pixel centres at +0.5.

    Points at or behind the camera (z <= 0) give NaN.
    """
    p = _points(points_camera)
    z = np.where(p[..., 2] > 0, p[..., 2], np.nan)
    return np.stack(
        [intrinsics.fx * p[..., 0] / z + intrinsics.cx, intrinsics.fy * p[..., 1] / z + intrinsics.cy],
        axis=-1,
    )


def unproject(pixels: ArrayLike, depth: ArrayLike, intrinsics: Intrinsics) -> Floats:
    """Camera points (..., 3) of pixels (..., 2) at depth z (...); the inverse of ``project``."""
    uv, z = np.asarray(pixels, dtype=np.float64), np.asarray(depth, dtype=np.float64)
    return np.stack(
        [
            (uv[..., 0] - intrinsics.cx) / intrinsics.fx * z,
            (uv[..., 1] - intrinsics.cy) / intrinsics.fy * z,
            z,
        ],
        axis=-1,
    )


def pixel_grid(*, width: int, height: int) -> Floats:
    """Pixel centres (height, width, 2) as (u, v)."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([u, v], axis=-1)


def voxel_centres(resolution: int) -> Floats:
    """Centres (resolution^3, 3) of the canonical cube's voxels, index order x, y, z with z fastest."""
    axis = (np.arange(resolution) + 0.5) / resolution - 0.5
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def _points(values: ArrayLike) -> Floats:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != 3:
        raise ValueError(f"points are (..., 3), not {points.shape}")
    return points


def _rotation(values: ArrayLike) -> Floats:
    rotation = np.asarray(values, dtype=np.float64)
    if rotation.shape != (3, 3):
        raise ValueError(f"a rotation is 3 x 3, not {rotation.shape}")
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise ValueError("a rotation is orthonormal and keeps handedness")
    return rotation
