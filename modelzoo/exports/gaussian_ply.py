"""3D Gaussians as the PLY layout that splat viewers read."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OBJECT_FRAME, CAMERA_FRAME = "object", "camera_opencv"
SH_C0 = 0.28209479177387814  # the constant spherical harmonic: colour = 0.5 + SH_C0 * f_dc
MOST_OPAQUE = 1 - 1e-4  # a logit is finite
PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *("f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Gaussians:
    """Gaussians in the object frame (Z-up, unit cube), or a scene's in its camera frame and unit.

    Opacities are in (0, 1), colours sRGB in [0, 1].
    """

    positions: Floats  # (N, 3)
    scales: Floats  # (N, 3), standard deviation along the Gaussian's own axes
    rotations_wxyz: Floats  # (N, 4), unit: own axes into the frame
    opacities: Floats  # (N,)
    colours: Floats  # (N, 3)
    frame: str = OBJECT_FRAME
    unit: str = "unit cube"

    def __post_init__(self) -> None:
        n = len(self.positions)
        shapes = (self.positions.shape, self.scales.shape, self.rotations_wxyz.shape, self.opacities.shape)
        if shapes != ((n, 3), (n, 3), (n, 4), (n,)) or self.colours.shape != (n, 3):
            raise ValueError(f"gaussians must be N rows each, not {shapes} and {self.colours.shape}")
        if self.frame not in (OBJECT_FRAME, CAMERA_FRAME):
            raise ValueError(f"gaussians are in the object or the camera frame, not in {self.frame!r}")


def ply_from_gaussians(gaussians: Gaussians) -> bytes:
    """Binary little-endian PLY: normals zero, f_dc, opacity as logit, scale as log, rotation as w x y z.

    Axes stay those of the frame, which two comments name with its unit.
    """
    n = len(gaussians.positions)
    opacity = np.clip(gaussians.opacities.astype(np.float64), 1 - MOST_OPAQUE, MOST_OPAQUE)
    table = np.zeros((n, len(PROPERTIES)), dtype="<f4")
    table[:, 0:3] = gaussians.positions
    table[:, 6:9] = (gaussians.colours - 0.5) / SH_C0
    table[:, 9] = np.log(opacity / (1 - opacity))
    table[:, 10:13] = np.log(np.maximum(gaussians.scales, 1e-6))
    table[:, 13:17] = gaussians.rotations_wxyz
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment frame {gaussians.frame}", f"comment unit {gaussians.unit}", f"element vertex {n}"]
    lines += [f"property float {name}" for name in PROPERTIES] + ["end_header", ""]
    return "\n".join(lines).encode("ascii") + table.tobytes()


def gaussians_from_ply(data: bytes) -> Gaussians:
    """The inverse of ``ply_from_gaussians``, rotations normalised. Raises ValueError for another layout."""
    header, found, body = data.partition(b"end_header\n")
    text = header.decode("ascii", errors="replace")
    names = re.findall(r"^property float (\w+)$", text, flags=re.MULTILINE)
    count = re.search(r"^element vertex (\d+)$", text, flags=re.MULTILINE)
    if not found or count is None or tuple(names) != PROPERTIES or "binary_little_endian" not in text:
        raise ValueError(
            "not a 3D Gaussian PLY of this layout: binary, degree 0, properties in standard order"
        )
    n = int(count.group(1))
    if len(body) < n * len(PROPERTIES) * 4:
        raise ValueError(f"the PLY is cut short: it announces {n} gaussians")
    table = np.frombuffer(body, "<f4", n * len(PROPERTIES)).reshape(n, -1).astype(np.float32)
    length = np.linalg.norm(table[:, 13:17], axis=1, keepdims=True)
    if not np.isfinite(table).all() or (length < 1e-9).any():
        raise ValueError("the PLY holds numbers that are not finite, or rotations of length zero")
    return Gaussians(
        positions=table[:, 0:3],
        scales=np.exp(table[:, 10:13]),
        rotations_wxyz=table[:, 13:17] / length,
        opacities=(1 / (1 + np.exp(-table[:, 9]))).astype(np.float32),
        colours=np.clip(0.5 + SH_C0 * table[:, 6:9], 0, 1),
        frame=_comment(text, "frame", OBJECT_FRAME),
        unit=_comment(text, "unit", "unit cube"),
    )


def disc_normals(rotations_wxyz: Floats) -> Floats:
    """Where each rotation (N, 4) takes z, the thin axis of a disc: (N, 3)."""
    w, x, y, z = rotations_wxyz.T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1)


def _comment(header: str, key: str, default: str) -> str:
    found = re.search(rf"^comment {key} (.+)$", header, flags=re.MULTILINE)
    return found.group(1) if found else default
