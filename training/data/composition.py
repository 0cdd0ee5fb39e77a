"""The rules of render-and-paste: what counts as visible, supported and occluded, as pure functions of masks and depth.

Facts of the paper: an occluded target keeps between .1 and .9 of its silhouette and .2 % of the picture; an inserted
one keeps 20 % and either stands on something or is occluded along a tenth of its outline.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from training.data.primitives import Floats

MIN_VISIBLE_SHARE, MAX_VISIBLE_SHARE = 0.1, 0.9  # of an occluded target's silhouette
MIN_PICTURE_SHARE = 0.002
MIN_INSERTED_SHARE = 0.2
BOTTOM_SHARE = 0.1  # of the silhouette's height
MIN_SUPPORTED_SHARE = 0.5  # of the bottom outline
MIN_OCCLUDED_SHARE = 0.1  # of the whole outline
BELOW_PX = 2  # how far under the outline its ground is looked for
FEATHER_PX = 0.6

Mask = NDArray[np.bool_]
Depth = NDArray[np.floating]


def occlusion_refusal(silhouette: Mask, visible: Mask) -> str | None:
    """Why an occluded target is not kept, in one word, or None when it is."""
    share = float(visible.sum()) / max(1, int(silhouette.sum()))
    if share < MIN_VISIBLE_SHARE:
        return "hidden"
    if share > MAX_VISIBLE_SHARE:
        return "hardly_occluded"
    return size_refusal(visible)


def size_refusal(visible: Mask) -> str | None:
    """Why a target is too small in its picture, or None."""
    return "small" if float(visible.mean()) < MIN_PICTURE_SHARE else None


def insertion_refusal(object_depth: Depth, scene_depth: Depth) -> str | None:
    """Why an inserted object is not kept, or None; depths are H x W, infinite beside the object, NaN unknown."""
    silhouette, visible = np.isfinite(object_depth), nearest_wins(object_depth, scene_depth)
    if not silhouette.any() or visible.sum() < MIN_INSERTED_SHARE * silhouette.sum():
        return "hidden"
    if size_refusal(visible) is not None:
        return "small"
    stands = supported_share(object_depth, scene_depth) >= MIN_SUPPORTED_SHARE
    behind = occluded_share(object_depth, scene_depth) >= MIN_OCCLUDED_SHARE
    return None if stands or behind else "floating"


def nearest_wins(object_depth: Depth, scene_depth: Depth) -> Mask:
    """Where the object is seen before the scene; unknown scene depth hides nothing."""
    assert object_depth.shape == scene_depth.shape, (object_depth.shape, scene_depth.shape)
    return np.asarray(np.isfinite(object_depth) & ~(scene_depth < object_depth))


def outline(silhouette: Mask) -> Mask:
    """The silhouette's own outermost pixels, along the picture's border too."""
    return np.asarray(silhouette & ~binary_erosion(silhouette, border_value=0))


def supported_share(object_depth: Depth, scene_depth: Depth) -> float:
    """Share of the lowest tenth's outline just under which the scene is nearer than the object: the ground it is on.

    Ground comes towards the camera as one looks further down, so whatever stands on it has nearer ground below its
    lowest edge; what floats has something farther there.
    """
    silhouette = np.isfinite(object_depth)
    rows = np.flatnonzero(silhouette.any(axis=1))
    if not len(rows):
        return 0.0
    first = rows[-1] - BOTTOM_SHARE * (rows[-1] - rows[0] + 1)
    lowest = silhouette & ~np.roll(silhouette, -1, axis=0)  # nothing of the object right below
    lowest[-1] = False  # the picture ends there
    lowest[: int(np.ceil(first))] = False
    at = np.argwhere(lowest)
    if not len(at):
        return 0.0
    below = np.minimum(at[:, 0] + BELOW_PX, silhouette.shape[0] - 1)
    return float((scene_depth[below, at[:, 1]] < object_depth[at[:, 0], at[:, 1]]).mean())


def occluded_share(object_depth: Depth, scene_depth: Depth) -> float:
    """Share of the silhouette's outline that the scene hides."""
    edge = outline(np.isfinite(object_depth))
    return float((scene_depth[edge] < object_depth[edge]).mean()) if edge.any() else 0.0


def pasted(photograph: NDArray[np.uint8], colours: NDArray[np.floating], visible: Mask) -> NDArray[np.uint8]:
    """The photograph with ``colours`` (H x W x 3 in [0, 1]) over it where ``visible``, edges blended over a pixel."""
    result = photograph.copy()
    rows, cols = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        return result
    around = 2  # pixels, as far as the blend reaches
    window = (
        slice(max(0, rows[0] - around), rows[-1] + 1 + around),
        slice(max(0, cols[0] - around), cols[-1] + 1 + around),
    )
    inside, own = visible[window], colours[window].astype(np.float32)
    weighted = np.concatenate([own * inside[..., None], inside[..., None]], axis=-1).astype(np.float32)
    soft = cv2.GaussianBlur(weighted, (5, 5), FEATHER_PX, borderType=cv2.BORDER_CONSTANT)
    alpha = soft[..., 3:]
    carried = soft[..., :3] / np.maximum(alpha, 1e-6)  # the object's colours, past its own edge
    top = 255.0 * np.where(inside[..., None], own, carried)
    blended = photograph[window] + alpha * (top - photograph[window])
    result[window] = np.clip(np.rint(blended), 0, 255)
    return result


def any_rotation(rng: Generator, *, max_tilt_deg: float) -> Floats:
    """R_camera_object: any turn about the object's upright axis, which leans at most so far from the camera's.

    With 180 degrees it is uniform over all rotations, as the paper's.
    """
    lean = np.arccos(rng.uniform(np.cos(np.deg2rad(max_tilt_deg)), 1.0))
    towards, turn = rng.uniform(0, 2 * np.pi, 2)
    up = np.array([np.sin(lean) * np.cos(towards), -np.cos(lean), np.sin(lean) * np.sin(towards)])
    side = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(up, side), up], axis=1)
    c, s = np.cos(turn), np.sin(turn)
    return np.asarray(frame @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))


def fitted_scale(room: Floats, extent: Floats) -> float:
    """The scale at which an object of this extent fills the room (both 3, camera axes) as far as it fits.

    Only across and down the picture: how far the room goes back is what a photograph does not show.
    """
    assert room.shape == extent.shape == (3,), (room.shape, extent.shape)
    return float((room[:2] / np.maximum(extent[:2], 1e-9)).min())
