"""sRGB and linear light: glTF vertex colours are linear, its textures and all our own colours are sRGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def linear_from_srgb(colours: NDArray[np.floating]) -> Floats:
    """Linear light in [0, 1] of sRGB values, clamped to [0, 1] first (IEC 61966-2-1)."""
    c = np.clip(colours.astype(np.float64), 0.0, 1.0)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: NDArray[np.floating]) -> Floats:
    """The inverse of ``linear_from_srgb``."""
    c = np.clip(light.astype(np.float64), 0.0, 1.0)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)
