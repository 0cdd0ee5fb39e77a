"""frames.py against the golden cases that frames.ts also passes, and round trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelzoo import frames
from modelzoo.contracts import Intrinsics, Pose

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "fixtures" / "golden" / "frames.json").read_text()
)
TOLERANCE = GOLDEN["conventions"]["tolerance"]


def _pose(case: dict[str, Any]) -> Pose:
    w, x, y, z = case["rotation_wxyz"]
    tx, ty, tz = case["translation"]
    return Pose(rotation_wxyz=(w, x, y, z), translation=(tx, ty, tz), scale=case["scale"])


@pytest.mark.parametrize("case", GOLDEN["quaternion_to_matrix"], ids=lambda c: c["name"])
def test_a_quaternion_and_its_matrix_agree_with_the_golden_case(case: dict[str, Any]) -> None:
    assert np.allclose(frames.rotation_from_wxyz(case["rotation_wxyz"]), case["matrix"], atol=TOLERANCE)
    found = np.array(frames.wxyz_from_rotation(case["matrix"]))
    assert (
        min(np.abs(found - case["canonical_wxyz"]).max(), np.abs(found + case["canonical_wxyz"]).max())
        < TOLERANCE
    )


@pytest.mark.parametrize("case", GOLDEN["camera_from_object"], ids=lambda c: c["name"])
def test_a_pose_maps_object_points_into_the_camera_as_the_golden_case_says(case: dict[str, Any]) -> None:
    pose = _pose(case)
    camera = frames.camera_from_object(pose, case["points_object"])
    assert np.allclose(camera, case["points_camera"], atol=TOLERANCE)
    assert np.allclose(frames.object_from_camera(pose, camera), case["points_object"], atol=TOLERANCE)
    homogeneous = np.c_[np.array(case["points_object"]), np.ones(len(case["points_object"]))]
    assert np.allclose(
        (homogeneous @ frames.matrix_from_pose(pose).T)[:, :3], case["points_camera"], atol=TOLERANCE
    )


@pytest.mark.parametrize("case", GOLDEN["glb_from_object"], ids=lambda c: str(c["object"]))
def test_glb_vectors_are_the_object_vectors_with_y_up(case: dict[str, Any]) -> None:
    assert np.allclose(frames.glb_from_object(case["object"]), case["glb"])
    assert np.allclose(frames.object_from_glb(case["glb"]), case["object"])


@pytest.mark.parametrize("case", GOLDEN["projection"])
def test_camera_points_project_to_the_golden_pixels_and_back(case: dict[str, Any]) -> None:
    intrinsics = Intrinsics(**case["intrinsics"])
    points = np.array(case["points_camera"])
    pixels = frames.project(points, intrinsics)
    assert np.allclose(pixels, case["pixels"], atol=1e-4)
    assert np.allclose(frames.unproject(pixels, points[:, 2], intrinsics), points, atol=1e-9)


@pytest.mark.parametrize("case", GOLDEN["compose"], ids=lambda c: c["name"])
def test_similarities_compose_as_the_golden_case_says(case: dict[str, Any]) -> None:
    found = frames.compose(_pose(case["a"]), _pose(case["b"]))
    expected = _pose(case["expected"])
    assert np.allclose(frames.matrix_from_pose(found), frames.matrix_from_pose(expected), atol=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_any_rotation_survives_the_way_to_a_quaternion_and_back(q: list[float]) -> None:
    rotation = frames.rotation_from_wxyz(q)
    assert np.allclose(frames.rotation_from_wxyz(frames.wxyz_from_rotation(rotation)), rotation, atol=1e-9)


def test_the_quaternion_product_turns_right_first() -> None:
    a, b = [0.9, 0.1, -0.3, 0.2], [0.2, -0.5, 0.7, 0.4]
    product = frames.rotation_from_wxyz(frames.multiply_wxyz(a, b))
    assert np.allclose(product, frames.rotation_from_wxyz(a) @ frames.rotation_from_wxyz(b))


def test_a_point_behind_the_camera_has_no_pixel() -> None:
    intrinsics = Intrinsics(fx=10, fy=10, cx=5, cy=5, width=10, height=10)
    assert np.isnan(frames.project([0.0, 0.0, -1.0], intrinsics)).all()


@pytest.mark.parametrize(
    "matrix", [np.diag([1.0, 1.0, -1.0, 1.0]), np.diag([1.0, 2.0, 1.0, 1.0]), np.zeros((4, 4))]
)
def test_a_matrix_that_is_no_similarity_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError):
        frames.pose_from_matrix(matrix, unit="m")
