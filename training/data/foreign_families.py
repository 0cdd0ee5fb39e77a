"""What no training renders: eight families that people meet in photographs and the model meets in their work alone."""

from __future__ import annotations

import numpy as np

from training.data.draft import Draft, Family, turn_x, turn_y
from training.data.primitives import BOX, CYLINDER, ELLIPSOID


def _aeroplane(d: Draft) -> None:
    radius, length = d.between(0.07, 0.12), d.between(0.38, 0.5)
    along = turn_x(np.pi / 2)
    d.add(CYLINDER, (0, 0, 0), (radius, radius, length), turn=along)
    d.add(ELLIPSOID, (0, -length, 0), (radius, d.between(0.1, 0.2), radius))
    d.add(ELLIPSOID, (0, length, 0), (radius * 0.8, 0.12, radius * 0.8))
    span, chord, high = d.between(0.4, 0.55), d.between(0.09, 0.15), d.between(-0.6, 0.8) * radius
    back = d.between(-0.05, 0.08)
    d.add(BOX, (0, back, high), (span, chord, 0.025), colour=1)
    d.add(BOX, (0, length + 0.02, 0.03), (span * 0.4, chord * 0.55, 0.022), colour=1)
    fin = d.between(0.11, 0.18)
    d.add(BOX, (0, length + 0.02, radius + fin * 0.7), (0.022, chord * 0.6, fin), colour=2)
    for side in (-1, 1):
        if d.chance(0.9):
            spot = (side * span * 0.5, back - chord * 0.6, high - 0.05)
            d.add(CYLINDER, spot, (0.05, 0.05, 0.11), colour=2, turn=along)


def _robot(d: Draft) -> None:
    leg, x, y = d.between(0.12, 0.24), d.between(0.15, 0.24), d.between(0.1, 0.16)
    torso = d.between(0.17, 0.26)
    for side in (-1, 1):
        d.add(BOX, (side * x * 0.55, 0, leg), (x * 0.32, y * 0.7, leg), colour=1)
        d.add(BOX, (side * x * 0.55, -0.05, 0.03), (x * 0.36, y, 0.04), colour=2)
        d.add(BOX, (side * (x + 0.06), 0, 2 * leg + torso), (0.05, 0.06, torso * 0.95), colour=1)
        d.add(ELLIPSOID, (side * (x + 0.06), 0, 2 * leg - 0.02), (0.07, 0.07, 0.07), colour=2)
    d.add(BOX, (0, 0, 2 * leg + torso), (x, y, torso))
    head = d.between(0.09, 0.15)
    top = 2 * leg + 2 * torso
    d.add(BOX if d.chance(0.6) else ELLIPSOID, (0, 0, top + head + 0.02), (head * 1.15, head, head), colour=2)
    d.add(CYLINDER, (0, 0, top + 2 * head + 0.07), (0.022, 0.022, 0.07), colour=1)
    d.add(BOX, (0, y + 0.05, 2 * leg + torso * 1.1), (x * 0.7, 0.06, torso * 0.7), colour=1)


def _castle(d: Draft) -> None:
    x, y, wall = d.between(0.3, 0.45), d.between(0.3, 0.45), d.between(0.1, 0.18)
    radius, tower = d.between(0.08, 0.13), d.between(0.2, 0.34)
    kind = CYLINDER if d.chance(0.7) else BOX
    for side in (-1, 1):
        d.add(BOX, (side * x, 0, wall), (0.04, y, wall))
        d.add(BOX, (0, side * y, wall), (x, 0.04, wall))
        for other in (-1, 1):
            d.add(kind, (side * x, other * y, tower), (radius, radius, tower), colour=1)
    keep = d.between(0.26, 0.4)
    d.add(BOX, (0, d.between(-0.05, 0.1), keep), (x * 0.4, y * 0.4, keep), colour=2)
    d.add(BOX, (0, 0, 0.02), (x, y, 0.03))


def _rocket(d: Draft) -> None:
    radius, height = d.between(0.1, 0.17), d.between(0.3, 0.42)
    low = d.between(0.08, 0.14)
    d.add(CYLINDER, (0, 0, low + height), (radius, radius, height))
    d.add(ELLIPSOID, (0, 0, low + 2 * height), (radius, radius, d.between(0.14, 0.26)), colour=1)
    d.add(CYLINDER, (0, 0, low * 0.6), (radius * 0.7, radius * 0.7, low * 0.6), colour=2)
    reach, fin = d.between(0.08, 0.16), d.between(0.09, 0.16)
    for side in (-1, 1):
        d.add(BOX, (side * (radius + reach * 0.6), 0, low + fin * 0.7), (reach, 0.025, fin), colour=2)
        d.add(BOX, (0, side * (radius + reach * 0.6), low + fin * 0.7), (0.025, reach, fin), colour=2)
    if d.chance(0.5):
        for side in (-1, 1):
            spot = (side * (radius + 0.05), side * 0.02, low + height * 0.8)
            d.add(CYLINDER, spot, (0.06, 0.06, height * 0.7), colour=1)


def _camera(d: Draft) -> None:
    x, y, z = d.between(0.3, 0.45), d.between(0.1, 0.17), d.between(0.18, 0.28)
    d.add(BOX, (0, 0, z), (x, y, z))
    lens, reach = d.between(0.55, 0.8) * z, d.between(0.12, 0.3)
    aside = d.between(-0.1, 0.1)
    along = turn_x(np.pi / 2)
    d.add(CYLINDER, (aside, -y - reach * 0.8, z), (lens, lens, reach), colour=1, turn=along)
    d.add(CYLINDER, (aside, -y - reach * 1.9, z), (lens * 1.15, lens * 1.15, 0.04), colour=2, turn=along)
    d.add(BOX, (aside, 0, 2 * z + 0.04), (x * 0.3, y * 0.8, 0.07))
    d.add(CYLINDER, (x * 0.7, 0, 2 * z + 0.02), (0.05, 0.05, 0.05), colour=2)
    d.add(BOX, (-x * 0.9, -y * 0.6, z), (x * 0.16, y * 0.9, z * 0.95), colour=1)
    d.add(BOX, (0, y + 0.01, z), (x * 0.6, 0.025, z * 0.6), colour=2)


def _boat(d: Draft) -> None:
    width, length, deep = d.between(0.15, 0.24), d.between(0.42, 0.55), d.between(0.12, 0.2)
    hollow = (BOX, (0.0, 0.0, 1.0), (2.0, 2.0, 1.0))
    d.add(ELLIPSOID, (0, 0, deep), (width, length, deep), carve=hollow)
    d.add(BOX, (0, 0, deep - 0.02), (width * 0.8, length * 0.7, 0.03), colour=2)
    cabin = d.between(0.07, 0.13)
    d.add(BOX, (0, d.between(0.05, 0.2), deep + cabin), (width * 0.6, length * 0.28, cabin), colour=1)
    mast = d.between(0.25, 0.4)
    d.add(CYLINDER, (0, -length * 0.2, deep + mast), (0.025, 0.025, mast), colour=2)
    if d.chance(0.7):
        d.add(BOX, (0, -length * 0.2 + 0.16, deep + mast * 1.2), (0.022, 0.15, mast * 0.65), colour=0)
    else:
        d.add(CYLINDER, (0, length * 0.25, deep + 2 * cabin + 0.08), (0.06, 0.06, 0.1), colour=0)


def _windmill(d: Draft) -> None:
    radius, height = d.between(0.13, 0.22), d.between(0.28, 0.4)
    d.add(CYLINDER, (0, 0, height), (radius, radius, height))
    d.add(CYLINDER, (0, 0, 0.06), (radius * 1.35, radius * 1.35, 0.06), colour=1)
    d.add(ELLIPSOID, (0, 0, 2 * height), (radius * 1.1, radius * 1.1, d.between(0.1, 0.2)), colour=1)
    hub = 2 * height - 0.02
    d.add(CYLINDER, (0, -radius - 0.04, hub), (0.045, 0.045, 0.09), colour=2, turn=turn_x(np.pi / 2))
    blade, lean = d.between(0.3, 0.45), d.between(0.0, np.pi / 2)
    for quarter in range(2):
        angle = lean + quarter * np.pi / 2
        d.add(BOX, (0, -radius - 0.1, hub), (blade, 0.022, 0.05), colour=2, turn=turn_y(angle))
    d.add(BOX, (0, -radius, 0.16), (0.07, 0.04, 0.13), colour=2)


def _snowman(d: Draft) -> None:
    low, middle, head = d.between(0.24, 0.32), d.between(0.17, 0.23), d.between(0.11, 0.16)
    second = low * 1.65 + middle * 0.6
    third = second + middle * 0.75 + head * 0.75
    for radius, height in ((low, low * 0.9), (middle, second), (head, third)):
        d.add(ELLIPSOID, (0, 0, height), (radius, radius, radius * 0.95))
    for side in (-1, 1):
        turn = turn_y(side * d.between(0.9, 1.4))
        d.add(CYLINDER, (side * (middle + 0.1), 0, second + 0.06), (0.024, 0.024, 0.15), colour=1, turn=turn)
    d.add(CYLINDER, (0, 0, third + head * 0.8), (head * 1.3, head * 1.3, 0.022), colour=2)
    d.add(
        CYLINDER, (0, 0, third + head * 0.8 + 0.08), (head * 0.8, head * 0.8, d.between(0.07, 0.12)), colour=2
    )
    d.add(CYLINDER, (0, -head - 0.05, third), (0.024, 0.024, 0.08), colour=1, turn=turn_x(np.pi / 2))
    d.add(CYLINDER, (0, 0, second + middle * 0.62), (head * 1.1, head * 1.1, 0.04), colour=1)


FOREIGN_FAMILIES: dict[str, Family] = {
    "aeroplane": _aeroplane,
    "robot": _robot,
    "castle": _castle,
    "rocket": _rocket,
    "camera": _camera,
    "boat": _boat,
    "windmill": _windmill,
    "snowman": _snowman,
}
