"""Readers of evaluation sets: tiny folders in the documented layouts, and refusals that say what was expected."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from modelzoo.contracts import Intrinsics
from modelzoo.frames import camera_from_object, pixel_grid, project, rotation_from_wxyz, unproject
from training.evaluation_sets.adt import TABLES, adt_cases
from training.evaluation_sets.cases import EvaluationCase, LayoutRefused
from training.evaluation_sets.iso3d import iso3d_cases
from training.evaluation_sets.rgbd import rgbd_cases
from training.evaluation_sets.sa_3dao import sa_3dao_cases

WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics(fx=60.0, fy=60.0, cx=32.0, cy=24.0, width=WIDTH, height=HEIGHT)
SIZE = (0.2, 0.4, 0.3)  # of the box in its file: x, y (up), z
MASK = np.zeros((HEIGHT, WIDTH), np.bool_)
MASK[10:40, 16:48] = True


def _picture(path: Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    if mode == "RGBA":
        levels = np.concatenate([levels, MASK[..., None] * np.uint8(255)], axis=-1)
    Image.fromarray(levels).save(path)


def _mask(path: Path) -> None:
    Image.fromarray(MASK.astype(np.uint8) * 255).save(path)


def _box(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(SIZE).export(path)


def _depth(path: Path, *, units_per_metre: float, metres: float = 2.0) -> None:
    values = np.where(MASK, metres * units_per_metre, 0).astype(np.uint16)
    Image.fromarray(values).save(path)


def _z_up(extents: np.ndarray) -> None:
    assert np.allclose(extents, [SIZE[0], SIZE[2], SIZE[1]])


def test_iso3d_pictures_become_cases_with_alpha_as_mask(tmp_path: Path) -> None:
    _picture(tmp_path / "png@1024" / "a_cat_statue.png", "RGBA")
    (case,) = iso3d_cases(tmp_path)
    assert (case.name, case.source) == ("a_cat_statue", "iso3d")
    assert np.array_equal(case.mask, MASK) and case.mesh is None and case.points is None
    assert case.request(seeds=(1,)).seeds == (1,)


def test_iso3d_without_alpha_or_pictures_is_refused_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(LayoutRefused, match="no picture"):
        iso3d_cases(tmp_path)
    _picture(tmp_path / "png@1024" / "a.png")
    with pytest.raises(LayoutRefused, match=r"alpha(.|\n)*png@1024/<prompt"):
        list(iso3d_cases(tmp_path))


def test_sa_3dao_folders_become_cases_turned_upright(tmp_path: Path) -> None:
    folder = tmp_path / "0001"
    _picture(folder / "image.jpg")
    _mask(folder / "mask.png")
    _box(folder / "mesh.glb")
    (case,) = sa_3dao_cases(tmp_path)
    assert case.pose is None and case.intrinsics is None and case.mesh is not None
    assert np.array_equal(case.mask, MASK)
    _z_up(np.ptp(case.mesh.vertices, axis=0))
    pose = np.diag([2.0, 2.0, 2.0, 1.0])
    pose[:3, 3] = [0.0, 0.0, 5.0]
    (folder / "pose.json").write_text(
        json.dumps({"fx": 60, "fy": 60, "cx": 32, "cy": 24, "T_camera_object": pose.tolist()})
    )
    (case,) = sa_3dao_cases(tmp_path)
    assert case.intrinsics == CAMERA and case.pose is not None and case.pose.scale == pytest.approx(2.0)


def test_sa_3dao_says_which_file_is_missing_and_which_is_broken(tmp_path: Path) -> None:
    with pytest.raises(LayoutRefused, match="no folders"):
        sa_3dao_cases(tmp_path)
    folder = tmp_path / "0001"
    _picture(folder / "image.png")
    with pytest.raises(LayoutRefused, match=r"no mask and no mesh(.|\n)*ROOT/<object>/mesh.glb"):
        list(sa_3dao_cases(tmp_path))
    _mask(folder / "mask.png")
    (folder / "mesh.obj").write_text("v 0 0 0\n")
    with pytest.raises(LayoutRefused, match="0001 cannot be used"):
        list(sa_3dao_cases(tmp_path))


def _rgbd(root: Path) -> Path:
    frame = root / "rgbd_pose" / "f0"
    _picture(frame / "color.png")
    _depth(frame / "depth.png", units_per_metre=10_000)
    _mask(frame / "mask_00_box.png")
    _box(root / "meshes" / "box.glb")
    camera = {
        "fx": 60,
        "fy": 60,
        "cx": 31.5,
        "cy": 23.5,
        "width": WIDTH,
        "height": HEIGHT,
        "depth_scale": 10_000,
    }
    (frame / "camera.json").write_text(json.dumps(camera))
    matrix = np.eye(4)  # the file's y axis, up, points down in the camera
    matrix[:3, :3], matrix[:3, 3] = np.diag([1.0, -1.0, -1.0]), [0.0, 0.0, 2.0]
    (frame / "objects.json").write_text(
        json.dumps(
            [
                {
                    "object": "box",
                    "mesh": "meshes/box.glb",
                    "mask": "mask_00_box.png",
                    "cam_T_mesh": matrix.tolist(),
                }
            ]
        )
    )
    return frame


def _stands_upright_at_two_metres(case: EvaluationCase) -> None:
    assert case.mesh is not None and case.pose is not None and case.unit == "m"
    _z_up(np.ptp(case.mesh.vertices, axis=0))
    assert case.pose.scale == pytest.approx(1.0)
    posed = camera_from_object(case.pose, case.mesh.vertices)
    assert np.allclose(np.ptp(posed, axis=0), SIZE, atol=1e-6)
    assert np.allclose(posed.mean(axis=0), [0.0, 0.0, 2.0], atol=1e-6)
    assert np.allclose(
        rotation_from_wxyz(case.pose.rotation_wxyz) @ [0, 0, 1], [0, -1, 0], atol=1e-9
    )  # its top is up


def test_rgbd_frames_become_metric_cases_whose_points_lie_on_their_pixels(tmp_path: Path) -> None:
    _rgbd(tmp_path)
    (case,) = rgbd_cases(tmp_path)
    assert case.name == "f0/box" and case.points is not None and case.intrinsics == CAMERA
    _stands_upright_at_two_metres(case)
    assert np.isnan(case.points[~MASK]).all()
    pixels = project(case.points[MASK], CAMERA)
    assert np.allclose(pixels, pixel_grid(width=WIDTH, height=HEIGHT)[MASK], atol=1e-4)


def test_rgbd_frames_that_lack_or_contradict_something_are_refused(tmp_path: Path) -> None:
    frame = _rgbd(tmp_path)
    (tmp_path / "meshes" / "box.glb").unlink()
    with pytest.raises(LayoutRefused, match="f0 cannot be used"):
        list(rgbd_cases(tmp_path))
    (frame / "depth.png").unlink()
    with pytest.raises(LayoutRefused, match=r"no depth.png(.|\n)*depth_scale"):
        rgbd_cases(tmp_path)
    with pytest.raises(LayoutRefused, match="no folder"):
        rgbd_cases(tmp_path / "elsewhere")


def _table(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([TABLES[path.name], *rows])


def _adt(root: Path, *, box: tuple[float, float, float] = SIZE) -> None:
    """A box two metres along the world's x from a device that looks there with a camera turned as Aria's is not."""
    uid, time_ns = 6243788802362822, 7_000_000_000
    _box(root / "objects" / "BlackBox.glb")
    instance = {
        "instance_id": uid,
        "prototype_name": "BlackBox",
        "instance_type": "object",
        "rigidity": "rigid",
    }
    (root / "instances.json").write_text(json.dumps({str(uid): instance}))
    _table(root / "scene_objects.csv", [[uid, -1, 2.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    half = [side / 2 for side in box]
    _table(
        root / "3d_bounding_box.csv",
        [[uid, -1, -half[0], half[0], -half[1], half[1], -half[2], half[2]]],
    )
    _table(
        root / "aria_trajectory.csv",
        [
            [time_ns // 1000 - 900_000, 50.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            [time_ns // 1000 + 1_000, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        ],
    )
    frame = root / "frames" / str(time_ns)
    _picture(frame / "color.png")
    np.save(frame / "instances.npy", np.where(MASK, uid, 0).astype(np.uint64))
    _depth(frame / "depth.png", units_per_metre=1000)
    device_camera = np.eye(4)  # camera z along the device's x, camera y down along its -y
    device_camera[:3, :3] = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    camera = {"fx": 60, "fy": 60, "cx": 32, "cy": 24, "T_device_camera": device_camera.tolist()}
    (frame / "camera.json").write_text(json.dumps(camera))


def test_an_adt_sequence_gives_its_objects_posed_in_the_camera(tmp_path: Path) -> None:
    _adt(tmp_path)
    (case,) = adt_cases(tmp_path)
    assert case.name == "7000000000/BlackBox" and np.array_equal(case.mask, MASK)
    assert case.mesh is not None and case.pose is not None and case.points is not None
    posed = camera_from_object(case.pose, case.mesh.vertices)
    assert np.allclose(posed.mean(axis=0), [0.0, 0.0, 2.0], atol=1e-6)
    assert np.allclose(np.ptp(posed, axis=0), [SIZE[2], SIZE[1], SIZE[0]], atol=1e-6)
    assert np.allclose(
        case.points[MASK],
        unproject(pixel_grid(width=WIDTH, height=HEIGHT), np.full(MASK.shape, 2.0), CAMERA)[MASK],
        atol=1e-5,
    )


def test_an_adt_mesh_in_another_frame_or_unit_is_refused_by_its_published_box(tmp_path: Path) -> None:
    _adt(tmp_path, box=(SIZE[0], SIZE[2], SIZE[1]))
    with pytest.raises(LayoutRefused, match=r"3d_bounding_box.csv says"):
        list(adt_cases(tmp_path))


def test_an_adt_folder_without_exported_frames_or_columns_is_refused(tmp_path: Path) -> None:
    _adt(tmp_path)
    (tmp_path / "scene_objects.csv").write_text("object_uid,timestamp[ns]\n1,-1\n")
    with pytest.raises(LayoutRefused, match=r"no column t_wo_x"):
        adt_cases(tmp_path)
    with pytest.raises(LayoutRefused, match=r"no instances.json(.|\n)*frames/<timestamp in ns>/color.png"):
        adt_cases(tmp_path / "frames")
