"""Light on seen surfaces: drawn lamps, and the light of a photograph fitted to what is known to stand in it."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.data.cells import DISPLAY_GAMMA
from training.data.primitives import Floats
from training.data.raycast import Light
from training.data.surfaces import Surface

DIRECT_GAIN = 1.25  # of a lamp that shines straight onto a surface, as in the ray caster's worlds
RIDGE = 0.05  # pulls a fitted light towards an even one, in units of a squared mean albedo
MIN_FITTED = 12  # pixels, for a light to be fitted at all
LEAST_SHADE, MOST_SHADE = 0.05, 4.0


def random_light(rng: Generator) -> Light:
    """A lamp from anywhere above or beside the camera with any share of ambient light and a slight tint."""
    direction = rng.normal(size=3)
    direction[1] = -abs(direction[1]) - 0.1  # camera y points down
    direction[2] = -abs(direction[2]) * rng.uniform(-0.3, 1.0)
    return Light(
        direction=direction / np.linalg.norm(direction),
        ambient=float(rng.uniform(0.25, 0.8)),
        tint=np.clip(rng.normal(1.0, 0.1, 3), 0.7, 1.3),
        shadows=False,
    )


def lit_by_lamp(surface: Surface, light: Light, *, strength: float = 1.0) -> NDArray[np.float32]:
    """Display colours (H x W x 3 in [0, 1]) under a lamp and sky light, as the ray caster shades them."""
    shown = surface.mask
    normal = surface.normal[shown]
    lit = np.clip(normal @ light.direction, 0.0, None)[:, None]
    skyward = (0.5 - 0.5 * normal[:, 1])[:, None]
    shade = light.ambient * (0.6 + 0.4 * skyward) + (1.0 - light.ambient) * lit * light.tint * DIRECT_GAIN
    return _displayed(surface, shade * strength)


def fitted_light(surface: Surface, photograph: NDArray[np.uint8], where: NDArray[np.bool_]) -> Floats | None:
    """First-order light (4 x 3) under which the surface looks like the photograph at the pixels ``where``.

    Per channel, linear colour = albedo * (b_0 + b_x n_x + b_y n_y + b_z n_z), by least squares with a ridge on the
    three directional terms. None when fewer than MIN_FITTED pixels are known.
    """
    assert photograph.shape == surface.albedo.shape and where.shape == surface.depth.shape
    used = where & surface.mask
    if used.sum() < MIN_FITTED:
        return None
    observed = (photograph[used] / 255.0) ** (1.0 / DISPLAY_GAMMA)
    basis = np.concatenate([np.ones((int(used.sum()), 1)), surface.normal[used]], axis=1)
    light = np.zeros((4, 3))
    for channel in range(3):
        albedo = np.maximum(surface.albedo[used][:, channel].astype(np.float64), 1e-3)
        design = basis * albedo[:, None]
        ridge = RIDGE * float((albedo**2).mean()) * len(albedo) * np.diag([0.0, 1.0, 1.0, 1.0])
        light[:, channel] = np.linalg.solve(design.T @ design + ridge, design.T @ observed[:, channel])
    return light


def lit_by_fit(surface: Surface, light: Floats) -> NDArray[np.float32]:
    """Display colours (H x W x 3 in [0, 1]) under a first-order light (4 x 3)."""
    assert light.shape == (4, 3), light.shape
    shade = light[0] + surface.normal[surface.mask] @ light[1:]
    return _displayed(surface, np.clip(shade, LEAST_SHADE, MOST_SHADE))


def _displayed(surface: Surface, shade: NDArray[np.floating]) -> NDArray[np.float32]:
    """Shades (N x 3, of the N pixels that show the surface) as display colours of the whole picture, zero elsewhere."""
    colours = np.zeros_like(surface.albedo)
    colours[surface.mask] = np.clip(surface.albedo[surface.mask] * shade, 0.0, 1.0) ** DISPLAY_GAMMA
    return colours
