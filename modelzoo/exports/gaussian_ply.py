"""3D Gaussians as the PLY layout that splat viewers read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SH_C0 = 0.28209479177387814  # the constant spherical harmonic: colour = 0.5 + SH_C0 * f_dc
PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *("f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Gaussians:
    """Gaussians in the object frame (Z-up): metres of the unit cube, opacity in (0, 1), sRGB colours in [0, 1]."""

    positions: Floats  # (N, 3)
    scales: Floats  # (N, 3), standard deviation along the Gaussian's own axes
    rotations_wxyz: Floats  # (N, 4), unit: own axes into the object frame
    opacities: Floats  # (N,)
    colours: Floats  # (N, 3)

    def __post_init__(self) -> None:
        n = len(self.positions)
        shapes = (self.positions.shape, self.scales.shape, self.rotations_wxyz.shape, self.opacities.shape)
        if shapes != ((n, 3), (n, 3), (n, 4), (n,)) or self.colours.shape != (n, 3):
            raise ValueError(f"gaussians must be N rows each, not {shapes} and {self.colours.shape}")


def ply_from_gaussians(gaussians: Gaussians) -> bytes:
    """Binary little-endian PLY: normals zero, f_dc, opacity as logit, scale as log, rotation as w x y z."""
    n = len(gaussians.positions)
    opacity = np.clip(gaussians.opacities.astype(np.float64), 1e-4, 1 - 1e-4)
    table = np.zeros((n, len(PROPERTIES)), dtype="<f4")
    table[:, 0:3] = gaussians.positions
    table[:, 6:9] = (gaussians.colours - 0.5) / SH_C0
    table[:, 9] = np.log(opacity / (1 - opacity))
    table[:, 10:13] = np.log(np.maximum(gaussians.scales, 1e-6))
    table[:, 13:17] = gaussians.rotations_wxyz
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {n}"]
    lines += [f"property float {name}" for name in PROPERTIES] + ["end_header", ""]
    return "\n".join(lines).encode("ascii") + table.tobytes()


def disc_normals(rotations_wxyz: Floats) -> Floats:
    """Where each rotation (N, 4) takes z, the thin axis of a disc: (N, 3)."""
    w, x, y, z = rotations_wxyz.T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1)
