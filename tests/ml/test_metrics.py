"""Metrics, each against a case that can be checked by hand, a slow plain twin or another library."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from training.metrics.alignment import STAY, Alignment, centred_start, fit, icp, to_unit_range
from training.metrics.boxes import OrientedBox, aligned_box_iou, oriented_box_iou
from training.metrics.intervals import bootstrap_mean, paired_difference
from training.metrics.layout import Layout, TrueLayout
from training.metrics.overlap import shell_iou, volume_iou
from training.metrics.pose import (
    add,
    add_s,
    add_s_one_sided,
    diameter,
    pose_distance,
    rotation_error_deg,
    scale_error,
    translation_error,
)
from training.metrics.sampling import SampledSurface, TriangleMesh, sampled_grid, sampled_mesh
from training.metrics.shape import TrueShape
from training.metrics.surface import (
    chamfer_distance,
    f_score,
    nearest_distances,
    squared_chamfer_distance,
    surface_points,
)
from training.metrics.transport import earth_movers_distance


def test_two_half_overlapping_boxes_have_an_iou_of_one_third() -> None:
    first, second = torch.zeros(2, 8, 8, 8, dtype=torch.bool)
    first[0:4], second[2:6] = True, True
    assert volume_iou(first, second).item() == pytest.approx(1 / 3)


def test_iou_broadcasts_candidates_against_their_truth() -> None:
    truth = torch.ones(2, 1, 4, 4, 4, dtype=torch.bool)
    guesses = torch.zeros(2, 3, 4, 4, 4, dtype=torch.bool)
    guesses[0, 1] = True
    assert volume_iou(guesses, truth).tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_chamfer_of_two_points_one_apart() -> None:
    assert chamfer_distance(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0]])) == 1.0
    assert chamfer_distance(np.zeros((1, 3)), np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])) == pytest.approx(
        0.5
    )


def test_f_score_is_the_harmonic_mean_of_precision_and_recall() -> None:
    first = np.array([[0.0, 0, 0], [5.0, 0, 0]])  # half of it is near the second
    second = np.array([[0.0, 0, 0]])  # all of it is near the first
    assert f_score(first, second, threshold=0.1) == pytest.approx(2 * 0.5 * 1.0 / 1.5)
    assert f_score(first + 10, second, threshold=0.1) == 0.0


def test_surface_points_lie_on_the_faces_of_a_box() -> None:
    grid = np.zeros((8, 8, 8), dtype=np.bool_)
    grid[2:6, 2:6, 2:6] = True
    points = surface_points(grid, count=500, rng=np.random.default_rng(0))
    assert np.allclose(np.abs(points).max(axis=1), 0.25)


def test_the_bootstrap_interval_of_equal_numbers_is_a_point() -> None:
    estimate = bootstrap_mean([0.4] * 5)
    assert (estimate.low, estimate.mean, estimate.high) == pytest.approx((0.4, 0.4, 0.4))


def test_the_bootstrap_interval_is_about_two_standard_errors_wide_each_way() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 400)
    estimate = bootstrap_mean(values, seed=1)
    assert estimate.high - estimate.low == pytest.approx(4 * 2.0 / 20, rel=0.15)
    assert estimate.low < estimate.mean < estimate.high


def test_a_quarter_turn_is_ninety_degrees_away() -> None:
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert rotation_error_deg(np.eye(3), turn) == pytest.approx(90.0)
    assert translation_error(np.zeros(3), np.array([0.0, 3.0, 4.0]), size=10.0) == pytest.approx(0.5)
    assert scale_error(2.0, 1.0) == pytest.approx(np.log(2.0))


def _turn(degrees: float, axis: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> np.ndarray:
    unit = np.array(axis) / np.linalg.norm(axis)
    return Rotation.from_rotvec(np.radians(degrees) * unit).as_matrix()


def _box_mesh(extents: tuple[float, float, float] = (1.0, 0.5, 0.25)) -> TriangleMesh:
    made = trimesh.creation.box(extents)
    return TriangleMesh(
        vertices=np.asarray(made.vertices, np.float64), faces=np.asarray(made.faces, np.int64)
    )


def _lopsided(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points on three sticks of unlike length: nothing turns it into itself."""
    along = rng.random((count, 1))
    ends = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.0], [0.1, 0.0, 0.35]])
    return along * ends[rng.integers(0, 3, count)] + rng.normal(0.0, 0.01, (count, 3))


def test_distances_agree_with_all_pairs_taken_one_by_one() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((40, 3)), rng.random((50, 3))
    pairs = np.linalg.norm(first[:, None] - second[None], axis=-1)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    assert chamfer_distance(first, second) == pytest.approx((there.mean() + back.mean()) / 2)
    assert squared_chamfer_distance(first, second) == pytest.approx(
        ((there**2).mean() + (back**2).mean()) / 2
    )
    precision, recall = (there <= 0.1).mean(), (back <= 0.1).mean()
    assert f_score(first, second, threshold=0.1) == pytest.approx(
        2 * precision * recall / (precision + recall)
    )


def test_squared_chamfer_of_two_points_two_apart_is_four() -> None:
    assert squared_chamfer_distance(np.zeros((1, 3)), np.array([[0.0, 2.0, 0.0]])) == 4.0


def test_distances_to_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        nearest_distances(np.zeros((0, 3)), np.zeros((1, 3)))
    for first, second in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one point"):
            f_score(np.zeros((first, 3)), np.zeros((second, 3)), threshold=0.1)


def test_emd_agrees_with_trying_every_pairing() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 4, 7):
        first, second = rng.random((count, 3)), rng.random((count, 3))
        cost = cdist(first, second)
        best = min(cost[range(count), list(order)].mean() for order in permutations(range(count)))
        assert earth_movers_distance(first, second) == pytest.approx(best)


def test_emd_of_a_moved_set_is_the_way_it_was_moved() -> None:
    points = np.random.default_rng(2).random((200, 3))
    assert earth_movers_distance(points, points + np.array([0.3, -0.4, 0.0])) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="same number"):
        earth_movers_distance(points, points[:-1])


def test_points_on_a_box_fall_on_each_face_by_its_area() -> None:
    surface = sampled_mesh(_box_mesh(), count=20_000, rng=np.random.default_rng(3))
    half = np.array([0.5, 0.25, 0.125])
    assert np.allclose((np.abs(surface.points) / half).max(axis=1), 1.0)
    assert np.allclose([surface.low, surface.high], [-half, half])
    on_x = np.isclose(np.abs(surface.points[:, 0]), 0.5).mean()
    assert on_x == pytest.approx(0.125 / (0.5 + 0.25 + 0.125), abs=0.01)


def test_points_on_a_triangle_are_uniform() -> None:
    triangle = TriangleMesh(
        vertices=np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), faces=np.array([[0, 1, 2]])
    )
    points = sampled_mesh(triangle, count=20_000, rng=np.random.default_rng(4)).points
    assert (points[:, :2].sum(axis=1) <= 1.0 + 1e-9).all() and (points >= 0.0).all()
    assert np.allclose(points.mean(axis=0), [1 / 3, 1 / 3, 0.0], atol=0.01)
    assert (points[:, 0] < 0.5).mean() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(
    ("vertices", "faces", "said"),
    [
        ([[0.0, 0, 0], [1, 0, 0], [0, 1, np.nan]], [[0, 1, 2]], "finite"),
        ([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 3]], "not there"),
        ([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], "no area"),
    ],
)
def test_a_mesh_that_is_none_is_refused(
    vertices: list[list[float]], faces: list[list[int]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        TriangleMesh(vertices=np.array(vertices), faces=np.array(faces))


def test_a_sampled_grid_knows_its_own_box() -> None:
    grid = np.zeros((8, 8, 8), np.bool_)
    grid[2:6, 1:3, 4:8] = True
    surface = sampled_grid(grid, count=2_000, rng=np.random.default_rng(5))
    assert surface.low.tolist() == [-0.25, -0.375, 0.0] and surface.high.tolist() == [0.25, -0.125, 0.5]
    assert (surface.points >= surface.low - 1e-12).all() and (surface.points <= surface.high + 1e-12).all()


def test_normalised_shapes_have_their_longest_side_from_minus_one_to_one() -> None:
    surface = sampled_mesh(_box_mesh((4.0, 2.0, 1.0)), count=500, rng=np.random.default_rng(6))
    moved = SampledSurface(points=surface.points + 7.0, low=surface.low + 7.0, high=surface.high + 7.0)
    corners = to_unit_range(moved, np.stack([moved.low, moved.high]))
    assert np.allclose(corners, [[-1.0, -0.5, -0.25], [1.0, 0.5, 0.25]])


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_the_best_fit_of_paired_points_is_the_motion_that_made_them(kind: str) -> None:
    source = np.random.default_rng(7).normal(size=(30, 3))
    scale = 1.0 if kind == "rigid" else 2.5
    made = Alignment(rotation=_turn(130, (1, 2, 3)), translation=np.array([1.0, -2, 3]), scale=scale)
    found = fit(source, made.apply(source), kind=kind)
    assert np.allclose(found.rotation, made.rotation)
    assert np.allclose(found.translation, made.translation)
    assert found.scale == pytest.approx(scale)


def test_a_mirror_image_is_never_a_fit() -> None:
    source = np.random.default_rng(8).normal(size=(30, 3))
    assert np.linalg.det(fit(source, source * [-1.0, 1, 1], kind="similarity").rotation) == pytest.approx(1.0)


def test_icp_finds_a_small_motion_again() -> None:
    rng = np.random.default_rng(9)
    target = _lopsided(rng, 2_000)
    made = Alignment(rotation=_turn(15, (1, 1, 0)), translation=np.array([0.05, 0.0, -0.03]))
    source = (target[rng.choice(2_000, 800, replace=False)] - made.translation) @ made.rotation
    found = icp(source, cKDTree(target), kind="rigid", rounds=100)
    assert found.angle_deg == pytest.approx(15.0, abs=0.5)
    assert np.allclose(found.apply(source), made.apply(source), atol=0.01)
    assert found.residual < 0.01


def test_icp_agrees_with_trimesh() -> None:
    rng = np.random.default_rng(10)
    target = _lopsided(rng, 1_500)
    source = _lopsided(rng, 1_000) @ _turn(20, (0, 1, 1)).T + np.array([0.02, 0.03, 0.0])
    theirs, moved, _ = trimesh.registration.icp(
        source, target, threshold=0.0, max_iterations=60, reflection=False, scale=False
    )
    ours = icp(source, cKDTree(target), kind="rigid", rounds=60)
    assert rotation_error_deg(ours.rotation, theirs[:3, :3]) < 0.5
    assert np.allclose(ours.apply(source), moved, atol=0.005)


def test_icp_from_coinciding_centroids_crosses_a_large_gap() -> None:
    rng = np.random.default_rng(11)
    target = _lopsided(rng, 1_000)
    source = target[:500] + np.array([30.0, 0.0, 0.0])
    start = centred_start(source, target)
    assert icp(source, cKDTree(target), kind="rigid", start=start).residual < 0.02
    assert STAY.angle_deg == 0.0


def test_axis_aligned_boxes_that_share_an_eighth() -> None:
    unit = (np.zeros(3), np.ones(3))
    assert aligned_box_iou(unit, (np.full(3, 0.5), np.full(3, 1.5))) == pytest.approx(0.125 / 1.875)
    assert aligned_box_iou(unit, (np.full(3, 2.0), np.full(3, 3.0))) == 0.0
    assert aligned_box_iou(unit, unit) == 1.0


def test_oriented_boxes_in_closed_form() -> None:
    def box(half: tuple[float, float, float], centre: float = 0.0, degrees: float = 0.0) -> OrientedBox:
        return OrientedBox(centre=np.array([centre, 0.0, 0.0]), rotation=_turn(degrees), half=np.array(half))

    unit = box((0.5, 0.5, 0.5))
    assert oriented_box_iou(unit, unit) == pytest.approx(1.0)
    assert oriented_box_iou(unit, box((0.5, 0.5, 0.5), centre=0.5)) == pytest.approx(1 / 3)
    assert oriented_box_iou(unit, box((0.25, 0.25, 0.25), degrees=30)) == pytest.approx(1 / 8)  # inside
    octagon = 2 * (np.sqrt(2) - 1)  # two unit squares, one turned by 45 degrees
    assert oriented_box_iou(unit, box((0.5, 0.5, 0.5), degrees=45)) == pytest.approx(octagon / (2 - octagon))
    assert oriented_box_iou(unit, box((0.5, 0.5, 0.5), centre=1.0)) == pytest.approx(
        0.0, abs=1e-8
    )  # they touch
    assert oriented_box_iou(unit, box((0.5, 0.5, 0.5), centre=5.0)) == 0.0


def test_oriented_boxes_agree_with_points_thrown_at_random() -> None:
    rng = np.random.default_rng(12)
    for _ in range(6):
        boxes = [
            OrientedBox(
                centre=rng.normal(0.0, 0.15, 3),
                rotation=Rotation.random(rng=rng).as_matrix(),
                half=rng.uniform(0.2, 0.6, 3),
            )
            for _ in range(2)
        ]
        thrown = rng.uniform(-1.5, 1.5, (60_000, 3))
        inside = [(np.abs((thrown - b.centre) @ b.rotation) <= b.half).all(axis=1) for b in boxes]
        expected = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
        assert oriented_box_iou(*boxes) == pytest.approx(expected, abs=0.02)
        assert oriented_box_iou(*boxes) == pytest.approx(oriented_box_iou(*boxes[::-1]))


def test_shell_overlap_counts_the_voxels_that_points_fall_into() -> None:
    first = np.array([[-0.9, -0.9, -0.9], [0.9, 0.9, 0.9]])
    second = np.array(
        [[-0.9, -0.9, -0.9], [-0.9, 0.9, 0.9], [7.0, 0.9, 0.9]]
    )  # the last counts at the border
    assert shell_iou(first, second, resolution=2) == pytest.approx(2 / 3)


def test_shell_overlap_agrees_with_solid_overlap_of_the_marked_voxels() -> None:
    rng = np.random.default_rng(13)
    clouds = rng.uniform(-1.0, 1.0, (2, 300, 3))
    grids = torch.zeros(2, 8, 8, 8, dtype=torch.bool)
    for grid, cloud in zip(grids, clouds, strict=True):
        for x, y, z in np.floor((cloud + 1.0) * 4.0).astype(int):
            grid[x, y, z] = True
    assert shell_iou(*clouds, resolution=8) == pytest.approx(volume_iou(*grids).item())


def test_add_s_both_ways_sees_what_the_one_sided_one_forgives() -> None:
    truth = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    guess = np.array([[0.0, 0, 0], [1.0, 0, 0], [4.0, 0, 0]])  # the truth, and a point three away
    assert add(guess, truth) == pytest.approx(1.0) and add(truth, guess) == 0.0
    assert add_s_one_sided(guess, truth) == 0.0
    assert add_s(guess, truth) == pytest.approx(0.5)


def test_the_diameter_is_the_longest_of_all_distances() -> None:
    points = np.random.default_rng(14).normal(size=(60, 3))
    assert diameter(points) == pytest.approx(cdist(points, points).max())
    flat = points * [1.0, 1.0, 0.0]
    assert diameter(flat) == pytest.approx(cdist(flat, flat).max())


def test_pose_distance_of_a_shift_a_growth_and_a_half_turn() -> None:
    shifted, grown, turned = np.eye(4), np.diag([3.0, 3.0, 3.0, 1.0]), np.eye(4)
    shifted[:3, 3] = [0.0, 3.0, 4.0]
    turned[:3, :3] = _turn(180)
    assert pose_distance(np.eye(4), shifted, size=10.0) == pytest.approx(0.5)
    assert pose_distance(np.eye(4), grown, size=1.0) == pytest.approx(2 * np.sqrt(0.75))
    assert pose_distance(np.eye(4), turned, size=1.0) == pytest.approx(np.sqrt(2.0))


def test_a_paired_difference_has_the_textbook_standard_error() -> None:
    rng = np.random.default_rng(15)
    parent = rng.normal(size=300)
    child = parent + rng.normal(0.1, 0.2, 300)
    found = paired_difference(child, parent)
    assert found.mean == pytest.approx((child - parent).mean())
    assert found.standard_error == pytest.approx(np.std(child - parent, ddof=1) / np.sqrt(300))
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(4 * found.standard_error, rel=0.15)
    with pytest.raises(ValueError, match="equally long"):
        paired_difference(child, parent[:-1])


def _sampled(mesh: TriangleMesh, seed: int, count: int = 20_000) -> SampledSurface:
    return sampled_mesh(mesh, count=count, rng=np.random.default_rng(seed))


def test_shape_metrics_of_the_same_shape_reach_their_floor_wherever_it_stands() -> None:
    surface, again = _sampled(_box_mesh(), 20), _sampled(_box_mesh(), 21)
    moved = SampledSurface(
        points=3.0 * again.points + 5.0, low=3.0 * again.low + 5.0, high=3.0 * again.high + 5.0
    )
    truth = TrueShape(surface, rng=np.random.default_rng(22))
    floor = truth.floor(again, rng=np.random.default_rng(23))
    found = truth.measure(moved, rng=np.random.default_rng(23))
    assert 0.5 < floor < 1.0
    assert found.f1_001 == pytest.approx(floor, abs=0.02) and found.f1_005 == 1.0
    assert found.chamfer < 0.02 and found.chamfer_squared < found.chamfer**2 * 1.6
    assert 0.0 < found.emd < 0.15


def test_shape_metrics_forgive_a_small_turn_as_icp_takes_it_back() -> None:
    surface = _sampled(_box_mesh(), 24)
    truth = TrueShape(surface, rng=np.random.default_rng(25))
    mesh = _box_mesh()
    turned = TriangleMesh(vertices=mesh.vertices @ _turn(6, (1, 0, 1)).T, faces=mesh.faces)
    found = truth.measure(_sampled(turned, 26), rng=np.random.default_rng(27))
    assert found.f1_005 > 0.9 and found.chamfer < 0.05


def test_shape_metrics_agree_with_a_plain_twin_on_another_shape() -> None:
    truth_surface, guess = _sampled(_box_mesh(), 28, 4_000), _sampled(_box_mesh((1.0, 0.8, 0.5)), 29, 4_000)
    truth = TrueShape(truth_surface, rng=np.random.default_rng(30))
    aligned = truth.aligned(guess, rng=np.random.default_rng(31))
    found = truth.measure(guess, rng=np.random.default_rng(31))
    target = to_unit_range(truth_surface, truth_surface.points)
    pairs = cdist(aligned, target)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    for value, threshold in ((found.f1_001, 0.01), (found.f1_005, 0.05)):
        precision, recall = (there <= threshold).mean(), (back <= threshold).mean()
        assert value == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.chamfer == pytest.approx((there.mean() + back.mean()) / 2)
    assert found.chamfer_squared == pytest.approx(((there**2).mean() + (back**2).mean()) / 2)


def test_layout_metrics_of_a_right_a_shifted_and_a_turned_pose() -> None:
    surface = _sampled(_box_mesh(), 32)
    layout = Layout(rotation=_turn(25, (1, 2, 0)), translation=np.array([0.1, 0.2, 3.0]), scale=0.4)
    truth = TrueLayout(surface, layout, rng=np.random.default_rng(33))
    right = truth.measure(surface, layout, rng=np.random.default_rng(34))
    assert right.adds_01 == 1.0 and right.adds < 0.03 and right.icp_rot < 2.0
    assert right.iou3d > 0.95 and right.iou3d_oriented == pytest.approx(1.0)
    assert (right.rotation_deg, right.translation, right.log_scale) == pytest.approx(
        (0.0, 0.0, 0.0), abs=1e-5
    )
    back = layout.translation + np.array([0.0, 0.0, 2.0])
    away = Layout(rotation=layout.rotation, translation=back, scale=0.4)
    shifted = truth.measure(surface, away, rng=np.random.default_rng(35))
    assert shifted.adds_01 == 0.0 and shifted.iou3d == 0.0 and shifted.iou3d_oriented == 0.0
    assert shifted.translation == pytest.approx(2.0 / 0.4) and shifted.icp_rot < 2.0
    turned = truth.measure(
        surface,
        Layout(rotation=layout.rotation @ _turn(20), translation=layout.translation, scale=0.4),
        rng=np.random.default_rng(36),
    )
    assert turned.rotation_deg == pytest.approx(20.0) and turned.icp_rot == pytest.approx(20.0, abs=2.0)
