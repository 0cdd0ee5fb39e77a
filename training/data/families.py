"""What training renders: ten families of things and random blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.draft import Draft, Family, random_turn, turn_x, turn_y, turn_z
from training.data.primitives import BOX, CYLINDER, ELLIPSOID


def _chair(d: Draft) -> None:
    x, y, seat = d.between(0.22, 0.34), d.between(0.22, 0.34), d.between(0.36, 0.52)
    thick, back = d.between(0.02, 0.05), d.between(0.35, 0.6)
    d.add(BOX if d.chance(0.75) else CYLINDER, (0, 0, seat), (x, y, thick))
    if d.chance(0.75):
        d.legs(x, y, 0.0, seat - thick, d.between(0.018, 0.04))
    else:
        d.add(CYLINDER, (0, 0, seat / 2), (0.035, 0.035, seat / 2), colour=1)
        d.add(CYLINDER, (0, 0, 0.02), (x * 0.9, y * 0.9, 0.02), colour=1)
    if d.chance(0.85):
        d.add(
            BOX,
            (0, y - 0.02, seat + back / 2),
            (x, d.between(0.015, 0.035), back / 2),
            colour=0 if d.chance(0.5) else 2,
        )
    if d.chance(0.4):
        for side in (-1, 1):
            d.add(BOX, (side * (x - 0.02), 0, seat + 0.2), (0.02, y, 0.02), colour=1)
            d.add(BOX, (side * (x - 0.02), -y + 0.03, seat + 0.1), (0.018, 0.018, 0.1), colour=1)


def _table(d: Draft) -> None:
    x, y, top = d.between(0.35, 0.6), d.between(0.25, 0.5), d.between(0.35, 0.65)
    round_top = d.chance(0.35)
    d.add(CYLINDER if round_top else BOX, (0, 0, top), (x, y, d.between(0.015, 0.045)))
    if round_top and d.chance(0.6):
        d.add(CYLINDER, (0, 0, top / 2), (0.05, 0.05, top / 2), colour=1)
        d.add(CYLINDER, (0, 0, 0.02), (x * 0.5, y * 0.5, 0.025), colour=1)
    else:
        inset = 0.75 if round_top else 1.0
        d.legs(x * inset, y * inset, 0.0, top, d.between(0.02, 0.05))
    if d.chance(0.35):
        d.add(BOX, (0, 0, top * 0.35), (x * 0.85, y * 0.85, 0.015), colour=2)
    if d.chance(0.35):
        d.add(BOX, (d.between(-0.2, 0.2), -y * 0.5, top - 0.08), (x * 0.35, y * 0.45, 0.06), colour=2)


def _lamp(d: Draft) -> None:
    height, radius = d.between(0.5, 1.0), d.between(0.12, 0.26)
    d.add(CYLINDER if d.chance(0.7) else BOX, (0, 0, 0.03), (radius * 0.8, radius * 0.8, 0.03), colour=1)
    d.add(CYLINDER, (0, 0, height / 2), (0.022, 0.022, height / 2), colour=1)
    if d.chance(0.3):
        d.add(ELLIPSOID, (0, 0, height * 0.35), (radius * 0.5, radius * 0.5, height * 0.22), colour=2)
    shade = d.between(0.1, 0.2)
    if d.chance(0.7):
        carve = (CYLINDER, (0.0, 0.0, -0.15), (0.88, 0.88, 1.0))
        d.add(CYLINDER, (0, 0, height + shade * 0.4), (radius, radius, shade), carve=carve)
    else:
        d.add(ELLIPSOID, (0, 0, height + shade * 0.4), (radius, radius, shade))


def _mug(d: Draft) -> None:
    radius, height = d.between(0.22, 0.36), d.between(0.22, 0.5)
    wall = float(d.rng.uniform(0.8, 0.92))
    carve = (CYLINDER, (0.0, 0.0, 0.2), (wall, wall, 1.05))
    d.add(CYLINDER, (0, 0, height), (radius, radius, height), carve=carve)
    if d.chance(0.8):
        angle = float(d.rng.uniform(0, 2 * np.pi))
        reach = d.between(0.1, 0.18)
        spot = (np.cos(angle) * radius, np.sin(angle) * radius, height)
        turn = turn_z(angle) @ turn_x(np.pi / 2)
        ring = (CYLINDER, (0.0, 0.0, 0.0), (0.66, 0.72, 2.0))
        d.add(CYLINDER, spot, (reach, height * 0.65, 0.035), colour=1, turn=turn, carve=ring)
    if d.chance(0.4):
        d.add(CYLINDER, (0, 0, 0.01), (radius * 1.5, radius * 1.5, 0.02), colour=2)


def _cabinet(d: Draft) -> None:
    x, y, z = d.between(0.2, 0.5), d.between(0.15, 0.32), d.between(0.25, 0.6)
    carve = None
    if d.chance(0.45):
        carve = (BOX, (0.0, -0.25, 0.0), (0.86, 1.0, 0.86))
    d.add(BOX, (0, 0, z + 0.05), (x, y, z), carve=carve)
    if carve is not None:
        for shelf in range(int(d.rng.integers(1, 4))):
            d.add(BOX, (0, 0, 0.05 + z * (0.4 + 0.45 * shelf)), (x * 0.9, y * 0.85, 0.014), colour=2)
    else:
        for side in (-1, 1):
            if d.chance(0.8):
                d.add(BOX, (side * x * 0.5, -y - 0.01, z + 0.05), (x * 0.44, 0.014, z * 0.9), colour=2)
                d.add(ELLIPSOID, (side * x * 0.14, -y - 0.04, z + 0.05), (0.022, 0.022, 0.022), colour=1)
    if d.chance(0.5):
        d.legs(x, y, -0.06, 0.05, 0.03)


def _vehicle(d: Draft) -> None:
    x, y = d.between(0.18, 0.3), d.between(0.4, 0.6)
    body, wheel = d.between(0.07, 0.15), d.between(0.08, 0.15)
    base = wheel * 0.8 + body
    d.add(BOX, (0, 0, base), (x, y, body))
    cab = d.between(0.2, 0.42)
    offset = float(d.rng.uniform(-0.5, 0.5)) * (y - cab)
    style = BOX if d.chance(0.55) else ELLIPSOID
    d.add(style, (0, offset, base + body), (x * 0.88, cab, d.between(0.12, 0.24)), colour=2)
    if d.chance(0.35):
        d.add(BOX, (0, -y * 0.75, base + body * 0.9), (x * 0.8, y * 0.2, body * 0.7), colour=0)
    for sx in (-1, 1):
        for sy in (-1, 1):
            d.add(
                CYLINDER,
                (sx * x, sy * y * 0.62, wheel),
                (wheel, wheel, 0.045),
                colour=1,
                turn=turn_y(np.pi / 2),
            )


def _sofa(d: Draft) -> None:
    x, y, seat = d.between(0.35, 0.6), d.between(0.22, 0.34), d.between(0.1, 0.18)
    arm, back = d.between(0.05, 0.1), d.between(0.2, 0.38)
    d.add(BOX, (0, 0, seat), (x, y, seat))
    d.add(BOX, (0, y - 0.05, seat + back), (x, d.between(0.05, 0.1), back))
    if d.chance(0.85):
        for side in (-1, 1):
            kind = BOX if d.chance(0.6) else CYLINDER
            turn = None if kind == BOX else turn_x(np.pi / 2)
            half = (arm, y, 0.22) if kind == BOX else (arm * 1.3, arm * 1.3, y)
            d.add(kind, (side * (x + arm * 0.6), 0, seat * 1.7), half, turn=turn)
    for cushion in (-1, 1):
        if d.chance(0.6):
            d.add(ELLIPSOID, (cushion * x * 0.45, 0.02, seat * 2 + 0.06), (x * 0.4, 0.08, 0.12), colour=2)


def _bottle(d: Draft) -> None:
    radius, height = d.between(0.14, 0.34), d.between(0.3, 0.5)
    kind = CYLINDER if d.chance(0.5) else ELLIPSOID
    d.add(kind, (0, 0, height), (radius, radius * d.between(0.75, 1.0), height))
    neck = d.between(0.04, 0.12)
    reach = d.between(0.06, 0.22)
    top = 2 * height - (0.05 if kind == ELLIPSOID else 0.0)
    carve = (CYLINDER, (0.0, 0.0, 0.2), (0.75, 0.75, 1.2)) if d.chance(0.4) else None
    d.add(CYLINDER, (0, 0, top + reach), (neck, neck, reach), colour=0 if d.chance(0.5) else 1, carve=carve)
    if d.chance(0.5):
        d.add(CYLINDER, (0, 0, top + 2 * reach), (neck * 1.3, neck * 1.3, 0.04), colour=1)
    if kind == CYLINDER and d.chance(0.6):
        d.add(ELLIPSOID, (0, 0, 2 * height), (radius, radius, reach), colour=0)
    if d.chance(0.5):
        d.add(CYLINDER, (0, 0, height), (radius * 1.02, radius * 1.02, height * 0.4), colour=2)


def _animal(d: Draft) -> None:
    length, girth, leg = d.between(0.24, 0.42), d.between(0.11, 0.22), d.between(0.1, 0.3)
    body = leg + girth
    d.add(ELLIPSOID, (0, 0, body), (girth, length, girth))
    radius = d.between(0.025, 0.06)
    for sx in (-1, 1):
        for sy in (-1, 1):
            d.add(
                CYLINDER,
                (sx * girth * 0.6, sy * length * 0.6, body / 2),
                (radius, radius, body / 2),
                colour=0,
            )
    head, lift = d.between(0.08, 0.18), d.between(0.0, 0.3)
    d.add(ELLIPSOID, (0, -length - head * 0.3, body + lift), (head * 0.8, head, head * 0.85), colour=0)
    if lift > 0.1:
        d.add(
            CYLINDER,
            (0, -length * 0.9, body + lift / 2),
            (head * 0.45, head * 0.45, lift / 2 + 0.04),
            colour=0,
        )
    for side in (-1, 1):
        if d.chance(0.8):
            ear = (0.03, 0.025, d.between(0.05, 0.12))
            d.add(
                ELLIPSOID, (side * head * 0.5, -length - head * 0.2, body + lift + head * 0.9), ear, colour=1
            )
    if d.chance(0.7):
        d.add(
            CYLINDER,
            (0, length * 1.1, body + 0.05),
            (0.022, 0.022, 0.15),
            colour=1,
            turn=turn_x(float(d.rng.uniform(-1, 1))),
        )
    if d.chance(0.6):
        d.add(
            ELLIPSOID,
            (0, -length - head * 1.2, body + lift - 0.02),
            (head * 0.4, head * 0.5, head * 0.35),
            colour=2,
        )


def _plant(d: Draft) -> None:
    radius, pot = d.between(0.12, 0.25), d.between(0.1, 0.22)
    carve = (CYLINDER, (0.0, 0.0, 0.3), (0.85, 0.85, 1.0))
    d.add(CYLINDER if d.chance(0.75) else BOX, (0, 0, pot), (radius, radius, pot), colour=1, carve=carve)
    stem = d.between(0.1, 0.5)
    d.add(CYLINDER, (0, 0, 2 * pot + stem / 2 - 0.06), (0.03, 0.03, stem / 2 + 0.1), colour=2)
    for _ in range(int(d.rng.integers(1, 7))):
        size = d.between(0.1, 0.26)
        spot = d.rng.normal(0.0, 0.13, 3)
        half = (size, size * d.between(0.6, 1.0), size * d.between(0.5, 1.2))
        d.add(
            ELLIPSOID,
            (spot[0], spot[1], 2 * pot + stem + abs(spot[2])),
            half,
            turn=random_turn(d.rng, tilt=0.6),
        )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _blocks(d: Draft) -> None:
    for index in range(int(d.rng.integers(2, 7))):
        half = _triple(d.rng.uniform(0.06, 0.32, 3))
        spot = (0.0, 0.0, 0.0) if index == 0 else _triple(d.rng.normal(0.0, 0.24, 3))
        carve = (int(d.rng.integers(0, 3)), (0.0, -0.4, 0.2), (0.7, 0.9, 0.8)) if d.chance(0.15) else None
        turn = random_turn(d.rng, tilt=0.7) if d.chance(0.4) else None
        d.add(int(d.rng.integers(0, 3)), spot, half, colour=int(d.rng.integers(0, 3)), turn=turn, carve=carve)


FAMILIES: dict[str, Family] = {
    "chair": _chair,
    "table": _table,
    "lamp": _lamp,
    "mug": _mug,
    "cabinet": _cabinet,
    "vehicle": _vehicle,
    "sofa": _sofa,
    "bottle": _bottle,
    "animal": _animal,
    "plant": _plant,
    "blocks": _blocks,
}
