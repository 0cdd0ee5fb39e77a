"""What the scorers of picture and shape share: the points they are sent, normalised, and the cosine they answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelzoo.ports.children.foreign_side import Asked, ChildError

PLAIN = 0.4  # the grey both were trained with where a shape has no colours


def read_points(asked: Asked) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Y-up points (N, 3) and their colours (N, 3) in [0, 1], as they were sent. Raises ChildError."""
    if "points" not in asked.shape:
        raise ChildError("shape_missing", "a similarity needs points of the shape")
    points = np.asarray(asked.shape["points"], np.float64)
    colours = asked.shape.get("colours")
    return points, np.full_like(points, PLAIN) if colours is None else np.asarray(colours, np.float64)


def sphere(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same points about their mean, the farthest at distance one."""
    centred = points - points.mean(axis=0)
    return np.asarray(centred / max(float(np.linalg.norm(centred, axis=1).max()), 1e-9))


def cosine(first: Any, second: Any) -> float:
    """Of two vectors. Raises ChildError for two of different length: not of one pair of models."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape:
        raise ChildError("embeddings_differ", f"shape and picture give {one.shape} and {other.shape} numbers")
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))
