"""Assisted masks: GrabCut on a small padded crop, guided by a box, points, a rough mask and strokes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.mask_proposer import Guidance, Mask, ProposedMask, keep_certain

WORKING_SIDE = 400  # of the crop's longer side
COARSE_SIDE = 180  # where the colours are learnt; at full working size only the rim is cut again
PADDING = 0.15  # of the crop's longer side, so that the background around the object is seen
ITERATIONS = 3
RIM = 5  # working pixels on each side of the coarse outline that the fine cut may still decide
SMALLEST_PIECE = (
    0.02  # pieces smaller than this share of the largest are dropped, unless a stroke lies in them
)
NO_RECTANGLE = (0, 0, 1, 1)  # not looked at: the labels say it all
POINT_RADIUS = 0.008  # of the photograph's longer side: a point is a small stroke


class GrabCut:
    """What works without any model: colours alone tell the object from its ground."""

    name = "grabcut"

    def refine(self, image: NDArray[np.uint8], guidance: Guidance, *, key: str) -> Mask:
        return refine(image, guidance)

    def propose(self, image: NDArray[np.uint8], *, key: str) -> list[ProposedMask]:
        return []


def refine(image: NDArray[np.uint8], guidance: Guidance) -> Mask:
    """The object's mask (H, W) in an sRGB photograph (H, W, 3). Strokes are kept to the pixel; the box is a fence.

    Returns the guidance itself where the photograph tells object and background apart too little.
    """
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8, (image.shape, image.dtype)
    height, width = image.shape[:2]
    guidance = guidance.with_points_drawn(
        height=height, width=width, radius=POINT_RADIUS * max(height, width)
    )
    inside = _inside(guidance, height=height, width=width)
    if not inside.any():
        return inside
    x0, y0, x1, y1 = _padded_bounds(inside | _strokes(guidance, like=inside))
    size = _working_size(width=x1 - x0, height=y1 - y0)
    crop = _resized(np.ascontiguousarray(image[y0:y1, x0:x1, ::-1]), size, cv2.INTER_AREA)
    labels = _labels(guidance, crop, inside=inside, window=(x0, y0, x1, y1))
    small = _cut(crop, labels)
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = _enlarged(small, width=x1 - x0, height=y1 - y0)
    return keep_certain(mask, guidance)


def _inside(guidance: Guidance, *, height: int, width: int) -> Mask:
    """Where the object may be."""
    if guidance.mask is not None and guidance.mask.any():
        # A rough mask may be too small as well as too large.
        reach = max(3, round(0.04 * np.sqrt(guidance.mask.sum())))
        grown = cv2.dilate(guidance.mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)).astype(
            bool
        )
    else:
        grown = np.ones((height, width), dtype=bool)
    if guidance.box is not None:
        x0, y0, x1, y1 = guidance.box
        fence = np.zeros((height, width), dtype=bool)
        fence[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = True
        grown &= fence
    return grown


def _strokes(guidance: Guidance, *, like: Mask) -> Mask:
    return guidance.foreground if guidance.foreground is not None else np.zeros_like(like)


def _padded_bounds(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    pad = max(4, round(PADDING * max(y1 - y0, x1 - x0)))
    height, width = mask.shape
    return max(0, x0 - pad), max(0, y0 - pad), min(width, x1 + pad), min(height, y1 + pad)


def _working_size(*, width: int, height: int) -> tuple[int, int]:
    shrink = min(1.0, WORKING_SIDE / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _labels(
    guidance: Guidance, crop: NDArray[np.uint8], *, inside: Mask, window: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """GrabCut's four labels for the crop: certain outside, likely background and object within, strokes certain."""
    size = (crop.shape[1], crop.shape[0])
    near = _shrunk(inside, window, size)
    labels = np.where(near, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    surely = None if guidance.foreground is None else _shrunk(guidance.foreground, window, size)
    surely_not = None if guidance.background is None else _shrunk(guidance.background, window, size)
    if guidance.mask is not None:
        rough = _shrunk(guidance.mask, window, size)
        labels[near & ~rough] = cv2.GC_PR_BGD
        core = cv2.erode(rough.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
        labels[core & near] = cv2.GC_FGD
    elif guidance.box is None and surely is not None and surely.any():
        labels[near & ~_around(surely, surely_not, crop)] = cv2.GC_PR_BGD
    if surely_not is not None:
        labels[surely_not] = cv2.GC_BGD
    if surely is not None:
        labels[surely] = cv2.GC_FGD
    return labels


def _around(seeds: Mask, others: Mask | None, crop: NDArray[np.uint8]) -> Mask:
    """Where the object probably is when strokes alone say so: close by, or joined to them in a like colour."""
    colours = cv2.cvtColor(crop, cv2.COLOR_BGR2LAB).astype(np.float32)
    if others is None or not others.any():
        others = np.ones_like(seeds)
        others[4:-4, 4:-4] = False  # the rim is rarely the object
    to_seeds, to_others = (
        np.square(colours - np.median(colours[which], axis=0)).sum(axis=-1) for which in (seeds, others)
    )
    reach = max(3, max(seeds.shape) // 16)
    close = cv2.dilate(seeds.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    likely = cv2.morphologyEx(
        ((to_seeds < to_others) | close).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    likely[seeds] = 1
    _, pieces = cv2.connectedComponents(likely)
    return np.isin(pieces, np.unique(pieces[seeds]))


def _shrunk(mask: Mask, window: tuple[int, int, int, int], size: tuple[int, int]) -> Mask:
    x0, y0, x1, y1 = window
    share = cv2.resize(mask[y0:y1, x0:x1].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(0.5, float(share.max()) * 0.5 + 1e-6))


def _cut(crop: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Mask:
    may_be_object = _is_object(labels)
    if may_be_object.all() or not may_be_object.any():
        return may_be_object  # nothing to tell apart
    cv2.setRNGSeed(0)  # GrabCut's k-means draws; the same request gives the same mask
    background, objects = np.zeros((1, 65)), np.zeros((1, 65))
    height, width = labels.shape
    shrink = min(1.0, COARSE_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    coarse = _resized(labels, size, cv2.INTER_NEAREST)
    if _is_object(coarse).all() or not _is_object(coarse).any():
        return may_be_object
    small = _resized(crop, size, cv2.INTER_AREA)
    cv2.grabCut(small, coarse, NO_RECTANGLE, background, objects, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    rough = _enlarged(_is_object(coarse), width=width, height=height).astype(np.uint8)
    kernel = np.ones((2 * RIM + 1,) * 2, np.uint8)
    fine = np.full_like(labels, cv2.GC_BGD)
    fine[cv2.dilate(rough, kernel) > 0] = cv2.GC_PR_BGD
    fine[rough > 0] = cv2.GC_PR_FGD
    fine[cv2.erode(rough, kernel) > 0] = cv2.GC_FGD
    certain = np.isin(labels, (cv2.GC_FGD, cv2.GC_BGD))
    fine[certain] = labels[certain]
    if len(np.unique(fine)) > 2:
        cv2.grabCut(crop, fine, NO_RECTANGLE, background, objects, 1, cv2.GC_EVAL)
    mask = _without_specks(_is_object(fine), keep=labels == cv2.GC_FGD)
    return mask if mask.any() else may_be_object


def _resized(array: NDArray[np.uint8], size: tuple[int, int], how: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(array, size, interpolation=how), dtype=np.uint8)


def _is_object(labels: NDArray[np.uint8]) -> Mask:
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _without_specks(mask: Mask, *, keep: Mask) -> Mask:
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    closed = cv2.morphologyEx(opened | keep.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(closed)
    if count <= 1:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA]
    large = areas >= SMALLEST_PIECE * areas[1:].max()
    large[np.unique(pieces[keep])] = True
    large[0] = False
    return np.asarray(large[pieces])


def _enlarged(mask: Mask, *, width: int, height: int) -> Mask:
    smooth = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth >= 0.5)
