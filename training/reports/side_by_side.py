"""A few held-out objects as people look at them: photograph, true shape, the parent's candidates and the child's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes
from torch import Tensor

from modelzoo.decoders.mesh import decimate, mesh_from_surface
from modelzoo.exports.glb import glb_from_mesh
from modelzoo.exports.meshopt_glb import compact_glb
from training.data.samples import Example

#: A shape is looked at beside nine others, so few triangles do; the blur takes the voxels' steps out of it.
MOST_FACES, BLUR = 4000, 0.6
CANDIDATES_SHOWN = 4
TRUTH_COLOUR, GUESS_COLOUR = (0.55, 0.72, 0.55), (0.75, 0.74, 0.72)


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """One object; candidate k of parent and child were drawn from the same noise. An empty guess has no GLB."""

    case: str
    family: str
    photo_png: bytes
    truth_glb: bytes
    parent_glbs: tuple[bytes, ...]
    child_glbs: tuple[bytes, ...]
    parent_ious: tuple[float, ...]
    child_ious: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """What one model drew: solid grids (N, K, R, R, R) and their volume IoUs (N, K)."""

    grids: Tensor
    ious: Tensor


def side_by_side(
    examples: Sequence[Example], truth: Tensor, *, parent: Guesses, child: Guesses
) -> tuple[SideBySide, ...]:
    """The objects whose mean volume IoU changed for the worst, in the middle and for the best.

    Chosen by the figures, so that nobody chooses; the same evaluation shows the same objects.
    """
    order = torch.argsort(child.ious.mean(1) - parent.ious.mean(1), stable=True).tolist()
    places = {order[len(order) // 2]: "middle", order[0]: "worst change", order[-1]: "best change"}
    return tuple(
        SideBySide(
            case=case,
            family=examples[place].family,
            photo_png=_png(examples[place].crop_rgb),
            truth_glb=shape_glb(truth[place], TRUTH_COLOUR),
            parent_glbs=_glbs(parent.grids[place]),
            child_glbs=_glbs(child.grids[place]),
            parent_ious=_numbers(parent.ious[place]),
            child_ious=_numbers(child.ious[place]),
        )
        for place, case in places.items()
    )


def shape_glb(solid: Tensor, colour: tuple[float, float, float]) -> bytes:
    """The surface of a solid grid (R, R, R) in the canonical cube, in one colour; empty where there is no surface."""
    assert solid.ndim == 3 and solid.shape[0] == solid.shape[1] == solid.shape[2], solid.shape
    field = gaussian_filter(np.pad(solid.numpy().astype(np.float32), 1), BLUR)
    if not field.max() > 0.5:
        return b""
    vertices, faces, _, _ = marching_cubes(field, 0.5, gradient_direction="ascent")
    # Voxel i of R has its middle at (i + 1/2) / R; the padding moved everything by one.
    vertices = ((vertices - 0.5) / solid.shape[0] - 0.5).astype(np.float32)
    colours = np.broadcast_to(np.asarray(colour, dtype=np.float32), vertices.shape).copy()
    mesh = mesh_from_surface(vertices, faces.astype(np.int32), colours)
    return compact_glb(glb_from_mesh(decimate(mesh, max_faces=MOST_FACES)))


def _glbs(grids: Tensor) -> tuple[bytes, ...]:
    return tuple(shape_glb(grid, GUESS_COLOUR) for grid in grids[:CANDIDATES_SHOWN])


def _numbers(ious: Tensor) -> tuple[float, ...]:
    return tuple(round(float(iou), 3) for iou in ious[:CANDIDATES_SHOWN])


def _png(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
