"""Metrics, each against a case that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.metrics.intervals import bootstrap_mean
from training.metrics.overlap import volume_iou
from training.metrics.pose import rotation_error_deg, scale_error, translation_error
from training.metrics.surface import chamfer_distance, f_score, surface_points


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
