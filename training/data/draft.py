"""A procedural object while it is drawn: its primitives, the colours they share and the chance behind its sizes."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.data.primitives import BOX, CYLINDER, Primitives

MAX_PRIMITIVES = 16


def random_colour(rng: Generator) -> tuple[float, float, float]:
    """A colour as things have them: mostly saturated, sometimes grey, dark or white."""
    if rng.random() < 0.22:
        grey = rng.uniform(0.05, 0.95)
        return (grey, grey * rng.uniform(0.94, 1.0), grey * rng.uniform(0.88, 1.0))
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 1.0), rng.uniform(0.25, 1.0))


class Draft:
    """Collects primitives with shared colours; ``between`` draws a size, its range wider when ``spread`` is above 1."""

    def __init__(self, *, rng: Generator, spread: float) -> None:
        self.rng = rng
        self.spread = spread
        self.colours = [random_colour(rng) for _ in range(3)]
        self.rows: list[dict[str, object]] = []
        styles = rng.choice(5, size=3, p=[0.5, 0.14, 0.1, 0.16, 0.1])
        self.styles = [(int(style), float(rng.uniform(18, 60)), random_colour(rng)) for style in styles]

    def between(self, low: float, high: float) -> float:
        if self.spread > 1.0:
            low, high = low * 0.75, high * self.spread
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def add(
        self,
        kind: int,
        centre: tuple[float, float, float],
        half: tuple[float, float, float],
        *,
        colour: int = 0,
        turn: NDArray[np.float64] | None = None,
        carve: tuple[int, tuple[float, float, float], tuple[float, float, float]] | None = None,
    ) -> None:
        if len(self.rows) >= MAX_PRIMITIVES:
            return
        forward = (np.eye(3) if turn is None else turn) @ np.diag(np.maximum(half, 0.008))
        style, frequency, second = self.styles[colour]
        self.rows.append(
            {
                "kind": kind,
                "inverse": np.linalg.inv(forward),
                "centre": np.array(centre, dtype=float),
                "carve_kind": -1 if carve is None else carve[0],
                "carve_centre": np.zeros(3) if carve is None else np.array(carve[1], dtype=float),
                "carve_half": np.ones(3) if carve is None else np.array(carve[2], dtype=float),
                "colour": np.array([self.colours[colour], second], dtype=float),
                "pattern": style,
                "frequency": frequency,
                "extent": np.maximum(np.array(half, dtype=float), 0.008),
            }
        )

    def legs(self, x: float, y: float, bottom: float, top: float, radius: float, *, colour: int = 1) -> None:
        kind = CYLINDER if self.chance(0.5) else BOX
        for sx in (-1, 1):
            for sy in (-1, 1):
                half = (radius, radius, (top - bottom) / 2)
                self.add(
                    kind, (sx * (x - radius), sy * (y - radius), (top + bottom) / 2), half, colour=colour
                )

    def build(self) -> Primitives:
        columns = {name: np.stack([np.asarray(row[name]) for row in self.rows]) for name in self.rows[0]}
        return Primitives(**columns)


def random_turn(rng: Generator, *, tilt: float) -> NDArray[np.float64]:
    """Rotation about a random axis by an angle of standard deviation ``tilt`` (rad)."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = rng.normal(0.0, tilt)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn: NDArray[np.float64] = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    return turn


def turn_x(angle: float) -> NDArray[np.float64]:
    """Rotation about the X axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def turn_y(angle: float) -> NDArray[np.float64]:
    """Rotation about the Y axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def turn_z(angle: float) -> NDArray[np.float64]:
    """Rotation about the Z axis, its right angles exact."""
    c, s = np.cos(angle), np.sin(angle)
    return np.round(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), 15)


#: Adds one object's primitives to a draft, Z-up, its design front towards -Y.
Family = Callable[[Draft], None]
