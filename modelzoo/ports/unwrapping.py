"""UV charts by the xatlas package, which has no wheel for every machine: only textures need it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PADDING_PX = 4  # between charts

Floats = NDArray[np.float32]


class UnwrapperMissing(ValueError):
    """The package is not installed; the message names it."""


def charts(
    vertices: Floats, faces: NDArray[np.int32], normals: Floats, *, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], Floats]:
    """Charts of little distortion, packed for a texture of ``size`` pixels per side.

    Given vertices and normals (V, 3) and faces (F, 3): the vertex (W,) that each new one copies, faces (F, 3) of new
    vertices, and their places (W, 2) in [0, 1]. Raises UnwrapperMissing.
    """
    assert vertices.shape == normals.shape and faces.shape[1] == 3, (vertices.shape, normals.shape)
    xatlas = _xatlas()
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices, faces.astype(np.uint32), normals)
    options = xatlas.PackOptions()
    options.resolution, options.padding = size, PADDING_PX
    atlas.generate(pack_options=options)
    source, renamed, places = atlas[0]
    return source.astype(np.int64), renamed.astype(np.int32), np.clip(places, 0, 1).astype(np.float32)


def _xatlas() -> Any:
    try:
        import xatlas
    except ImportError as error:
        raise UnwrapperMissing("a baked texture needs the package xatlas: pip install xatlas") from error
    return xatlas
