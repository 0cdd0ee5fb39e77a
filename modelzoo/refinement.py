"""Layout refinement: a proposed layout against mask and point map, each step kept only where it measurably helps.

The steps follow SAM 3D's layout post-optimisation at a small scale: match scale and centre to the mask, place along the
viewing ray, point-to-point ICP with the point map, then gradient steps of a soft silhouette on rotation, translation
and scale. What is compared is the mask IoU of a raster of the crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.spatial import cKDTree

from modelzoo.conditioning import Square, crop_square, resample_mask
from modelzoo.contracts import Intrinsics
from modelzoo.silhouette import SOFT_AREA, SoftTarget, covered_raster, soft_silhouette_loss, softened

RASTER = 48  # pixels per side of the crop in which silhouettes are compared
CROP_FACTOR = 1.6  # wider than the mask, so that a silhouette that is too large is seen to be
MIN_GAIN = 0.01  # of mask IoU, for a step to be kept
MIN_IOU = 0.5  # after refinement, for a rotation to be believed
MAX_RESIDUAL_GROWTH = 1.05  # of the distance to the point map, for a silhouette step to be kept
MAX_MOVE = (0.02, 50.0)  # in depth; a layout without a point map stands at distance one
WHOLE_SHARE = 0.9  # of the mask in its largest piece, for it to count as one piece
FAR_SHARE = 0.1  # of the masked points, the farthest, which are mostly background that bled in
ICP_POINTS, ICP_REACH = 400, (0.2, 0.05)  # reach in object sizes, at the first and at the last round
ICP_ROUNDS = 12
SOFT_POINTS = 1500

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """x_camera = rotation @ (scale * x_object) + translation."""

    rotation: Floats
    translation: Floats
    scale: float

    def place(self, points: Floats) -> Floats:
        """Object points (N, 3) in the camera frame."""
        placed: Floats = self.scale * (points @ self.rotation.T) + self.translation
        return placed


@dataclass(frozen=True, kw_only=True)
class RefinedLayout:
    """The layout, its mask IoU before and after, and each correction that was kept or could not be tried."""

    layout: Layout
    iou_before: float
    iou_after: float
    steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What a layout is held against, in the raster of the crop; ``surface`` (N, 3) stands for the shape."""

    surface: Floats
    camera: Floats  # fx, fy, cx, cy of the raster
    window: Square
    wanted: NDArray[np.bool_]  # RASTER x RASTER
    inside: NDArray[np.bool_]  # raster pixels that lie in the photograph; elsewhere nothing is known
    target: Floats  # camera points (M, 3) of the mask, empty where unknown
    tree: cKDTree | None  # of the surface, where ``target`` may be aligned to

    def iou(self, layout: Layout) -> float:
        covered, _ = self.raster(layout)
        union = int(((covered | self.wanted) & self.inside).sum())
        return float((covered & self.wanted & self.inside).sum()) / union if union else 0.0

    def raster(self, layout: Layout) -> tuple[NDArray[np.bool_], Floats]:
        """Which raster pixels the surface covers (small holes closed) and the nearest depth in each."""
        return covered_raster(layout.place(self.surface), self.camera, RASTER)

    def residual(self, layout: Layout) -> float:
        """Median distance of the point map's points to the surface, in object sizes; 0 without a point map."""
        if self.tree is None:
            return 0.0
        return float(np.median(self.tree.query(_in_object(layout, self.target))[0]))


def refine_layout(
    layout: Layout,
    surface: Floats,
    *,
    mask: NDArray[np.bool_],
    points: NDArray[np.floating] | None,
    intrinsics: Intrinsics,
    points_trusted: bool = True,
) -> RefinedLayout:
    """Correct ``layout`` so that the object's ``surface`` (N, 3) meets ``mask`` and camera-frame ``points`` (H, W, 3).

    Points that are not trusted place the object along the viewing ray and do no more. With a mask in several pieces
    nothing moves sideways, with one that the photograph's edge cuts nothing turns; ``steps`` then says so.
    """
    assert surface.ndim == 2 and surface.shape[1] == 3 and len(surface), surface.shape
    assert points is None or points.shape == (*mask.shape, 3), points.shape
    scene = _scene(surface, mask, points if points_trusted else None, intrinsics)
    before = scene.iou(layout)
    steps: list[str] = []
    cut, whole = _touches_border(mask), _in_one_piece(scene.wanted)
    best, iou = layout, before
    if whole:
        best, iou = _kept(scene, best, iou, _matched(scene, best), "layout_fitted_to_mask", steps)
    else:
        steps.append("layout_not_fitted_mask_in_pieces")
    best = _placed(scene, best, points, mask, steps)
    if whole and cut:
        steps.append("layout_not_turned_mask_at_border")
    elif whole:
        if scene.tree is not None:
            tried = _matched(scene, _aligned(scene, best))
            limit = MAX_RESIDUAL_GROWTH * scene.residual(best)
            best, iou = _kept(scene, best, iou, tried, "layout_aligned_to_points", steps, most_residual=limit)
        best, iou = _kept(
            scene,
            best,
            iou,
            _turned(scene, best),
            "layout_refined_to_silhouette",
            steps,
            least=MIN_IOU,
            most_residual=MAX_RESIDUAL_GROWTH * scene.residual(best) if scene.tree else np.inf,
        )
        best = _placed(scene, best, points, mask, steps)
    return RefinedLayout(layout=best, iou_before=before, iou_after=iou, steps=tuple(steps))


def _scene(
    surface: Floats,
    mask: NDArray[np.bool_],
    points: NDArray[np.floating] | None,
    intrinsics: Intrinsics,
) -> _Scene:
    window = crop_square(mask, factor=CROP_FACTOR)
    zoom = RASTER / window.side
    target = np.zeros((0, 3))
    if points is not None:
        known = points[mask].astype(np.float64)
        known = known[np.isfinite(known).all(axis=1)]
        target = known[known[:, 2] <= np.quantile(known[:, 2], 1 - FAR_SHARE)] if len(known) else target
    usable = len(target) >= 20
    height, width = mask.shape
    rows = window.top + (np.arange(RASTER) + 0.5) / zoom
    cols = window.left + (np.arange(RASTER) + 0.5) / zoom
    return _Scene(
        surface=np.ascontiguousarray(surface, dtype=np.float64),
        camera=np.array(
            [
                intrinsics.fx * zoom,
                intrinsics.fy * zoom,
                (intrinsics.cx - window.left) * zoom,
                (intrinsics.cy - window.top) * zoom,
            ]
        ),
        window=window,
        wanted=resample_mask(mask, window, RASTER),
        inside=((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))[None],
        target=target[:: max(1, len(target) // ICP_POINTS)],
        tree=cKDTree(surface) if usable else None,
    )


def _kept(
    scene: _Scene,
    best: Layout,
    iou: float,
    tried: Layout,
    name: str,
    steps: list[str],
    *,
    least: float = 0.0,
    most_residual: float = np.inf,
) -> tuple[Layout, float]:
    """``tried`` when it raises the mask IoU by the margin, to ``least`` at least, and stays near the point map."""
    found = scene.iou(tried)
    if found < max(iou + MIN_GAIN, least) or scene.residual(tried) > most_residual:
        return best, iou
    steps.append(f"{name}(iou_before={iou:.3f}, iou={found:.3f})")
    return tried, found


def _matched(scene: _Scene, layout: Layout) -> Layout:
    """Shifted and resized in the image, from the better of the layout and the one whose box meets the mask's."""
    starts = [layout, _box_fitted(scene, layout)]
    scores = [scene.iou(one) for one in starts]
    best, score = max(zip(starts, scores, strict=True), key=lambda pair: pair[1])
    for step in (0.06, 0.03, 0.015):
        for _ in range(4):
            tried = [
                _nudged(best, sign * step * np.eye(3)[axis]) for sign, axis in product((1, -1), range(3))
            ]
            found = [scene.iou(one) for one in tried]
            if max(found) <= score:
                break
            best, score = tried[int(np.argmax(found))], max(found)
    return best


def _nudged(layout: Layout, change: Floats) -> Layout:
    """Right and down in object sizes, growth in logarithms."""
    return Layout(
        rotation=layout.rotation,
        translation=layout.translation + layout.scale * np.array([change[0], change[1], 0.0]),
        scale=layout.scale * float(np.exp(change[2])),
    )


def _box_fitted(scene: _Scene, layout: Layout) -> Layout:
    placed = layout.place(scene.surface)
    placed = placed[placed[:, 2] > 1e-6]
    if not len(placed):
        return layout
    pixels = scene.camera[:2] * placed[:, :2] / placed[:, 2:] + scene.camera[2:]
    rows, cols = np.flatnonzero(scene.wanted.any(axis=1)), np.flatnonzero(scene.wanted.any(axis=0))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    target_low = np.array([cols[0], rows[0]], float)
    target_high = np.array([cols[-1] + 1, rows[-1] + 1], float)
    grow = float(np.max(target_high - target_low) / max(np.max(high - low), 1e-6))
    shift = ((target_low + target_high) - (low + high)) / 2
    distance = float(np.median(placed[:, 2]))
    move = np.array([*(shift * distance / scene.camera[:2]), 0.0])
    return Layout(
        rotation=layout.rotation,
        translation=layout.translation + move,
        scale=layout.scale * float(np.clip(grow, 0.5, 2)),
    )


def _placed(
    scene: _Scene,
    layout: Layout,
    points: NDArray[np.floating] | None,
    mask: NDArray[np.bool_],
    steps: list[str],
) -> Layout:
    """Moved along the viewing ray, which keeps the silhouette, until the near side meets the masked points."""
    ratio = None if points is None else _depth_ratio(scene, layout, points, mask)
    if ratio is None or abs(ratio - 1) <= 0.005:
        return layout
    if "layout_fitted_to_depth" not in steps:
        steps.append("layout_fitted_to_depth")
    return Layout(
        rotation=layout.rotation, translation=layout.translation * ratio, scale=layout.scale * ratio
    )


def _depth_ratio(
    scene: _Scene, layout: Layout, points: NDArray[np.floating], mask: NDArray[np.bool_]
) -> float | None:
    """Median of the point map's depth over the surface's, where both are known; None when that is almost nowhere."""
    _, nearest = scene.raster(layout)
    rows, cols = np.nonzero(mask & np.isfinite(points).all(axis=-1))
    zoom = RASTER / scene.window.side
    v = np.floor((rows + 0.5 - scene.window.top) * zoom).astype(int)
    u = np.floor((cols + 0.5 - scene.window.left) * zoom).astype(int)
    drawn = nearest[np.clip(v, 0, RASTER - 1), np.clip(u, 0, RASTER - 1)]
    known = np.isfinite(drawn)
    if known.sum() < 20:
        return None
    return float(np.clip(np.median(points[rows[known], cols[known], 2] / drawn[known]), *MAX_MOVE))


def _aligned(scene: _Scene, layout: Layout) -> Layout:
    """Point-to-point ICP of the surface to the masked points; scale stays."""
    assert scene.tree is not None
    for reach in np.linspace(*ICP_REACH, ICP_ROUNDS):
        distance, nearest = scene.tree.query(_in_object(layout, scene.target), distance_upper_bound=reach)
        near = np.isfinite(distance)
        if near.sum() < 20:
            return layout
        layout = _moved_onto(layout, scene.surface[nearest[near]], scene.target[near])
    return layout


def _moved_onto(layout: Layout, surface: Floats, target: Floats) -> Layout:
    """The rigid motion that brings the placed ``surface`` (K, 3) closest to ``target`` (K, 3), by Kabsch."""
    placed = layout.place(surface)
    centre, wanted = placed.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((placed - centre).T @ (target - wanted))
    turn = vt.T @ np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return Layout(
        rotation=turn @ layout.rotation,
        translation=turn @ (layout.translation - centre) + wanted,
        scale=layout.scale,
    )


def _turned(scene: _Scene, layout: Layout) -> Layout:
    """Adam on the soft silhouette: 5 steps of translation and scale, then 25 of everything."""
    thinned = np.ascontiguousarray(scene.surface[:: max(1, len(scene.surface) // SOFT_POINTS)])
    target = softened(scene.wanted, density=len(thinned) * SOFT_AREA / max(int(scene.wanted.sum()), 1))
    soft = SoftTarget(coverage=target, inside=scene.inside)
    first, second, start = np.zeros(7), np.zeros(7), layout
    rates = np.array([1e-2] * 3 + [5e-3] * 4)
    for step in range(30):
        _, gradient = soft_silhouette_loss(
            thinned, layout.rotation, layout.translation, layout.scale, scene.camera, soft
        )
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        count = step + 1
        move = (first / (1 - 0.9**count)) / (np.sqrt(second / (1 - 0.99**count)) + 1e-8)
        rate = np.where(np.arange(7) < 3, 0.0, 1e-2) if step < 5 else rates
        layout = _stepped(layout, -rate * move)
    return layout if np.isfinite(layout.place(scene.surface[:1])).all() else start


def _stepped(layout: Layout, change: Floats) -> Layout:
    """A small turn (axis times angle, camera axes), a shift in object sizes and a growth in logarithms."""
    return Layout(
        rotation=_turn(change[:3]) @ layout.rotation,
        translation=layout.translation + layout.scale * change[3:6],
        scale=layout.scale * float(np.exp(change[6])),
    )


def _turn(axis_angle: Floats) -> Floats:
    """Rotation matrix (3, 3) of an axis times an angle in radians, by Rodrigues."""
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turn


def _in_object(layout: Layout, points: Floats) -> Floats:
    found: Floats = ((points - layout.translation) @ layout.rotation) / layout.scale
    return found


def _touches_border(mask: NDArray[np.bool_]) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _in_one_piece(wanted: NDArray[np.bool_]) -> bool:
    pieces, count = label(wanted, structure=np.ones((3, 3)))
    return count <= 1 or float(np.bincount(pieces.ravel())[1:].max()) >= WHOLE_SHARE * float(wanted.sum())
