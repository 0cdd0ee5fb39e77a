"""The surface that the stand-ins answer: a box of 1 x 0.5 x 0.25 about (0.3, -0.1, 0.2), Z-up, each corner a colour."""

import itertools

import numpy as np

CENTRE, SIZE = np.array([0.3, -0.1, 0.2]), np.array([1.0, 0.5, 0.25])
CORNERS = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
VERTICES = CENTRE + (CORNERS - 0.5) * SIZE
COLOURS = 0.2 + 0.6 * CORNERS
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])


def y_up(vertices):
    return np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=-1)
