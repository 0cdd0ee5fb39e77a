"""Aria Digital Twin: frames of a sequence with the posed objects that are seen in them, in metres.

The authors' CSV and JSON files are read as they publish them (facebookresearch.github.io/projectaria_tools, ADT Data
Format). Pictures, depth and instance ids lie in VRS recordings there, with a fisheye camera; they have to be exported
with the authors' projectaria_tools (undistorted to a pinhole) into the folder ``frames`` described below, and the GLB
files of the object library put into ``objects``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzoo.contracts import Intrinsics
from modelzoo.frames import (
    T_GLB_OBJECT,
    object_from_glb,
    pixel_grid,
    pose_from_matrix,
    rotation_from_wxyz,
    unproject,
    wxyz_from_xyzw,
)
from training.evaluation_sets.cases import READING_ERRORS, EvaluationCase, read_image, read_mesh, refuse

TABLES: Mapping[str, tuple[str, ...]] = {
    "scene_objects.csv": (
        *("object_uid", "timestamp[ns]", "t_wo_x[m]", "t_wo_y[m]", "t_wo_z[m]"),
        *("q_wo_w", "q_wo_x", "q_wo_y", "q_wo_z"),
    ),
    "3d_bounding_box.csv": (
        *("object_uid", "timestamp[ns]", "p_local_obj_xmin[m]", "p_local_obj_xmax[m]", "p_local_obj_ymin[m]"),
        *("p_local_obj_ymax[m]", "p_local_obj_zmin[m]", "p_local_obj_zmax[m]"),
    ),
    "aria_trajectory.csv": (
        *("tracking_timestamp_us", "tx_world_device", "ty_world_device", "tz_world_device"),
        *("qx_world_device", "qy_world_device", "qz_world_device", "qw_world_device"),
    ),
}
EXPECTED = """  ROOT/instances.json, scene_objects.csv, 3d_bounding_box.csv, aria_trajectory.csv
                                                    as published, version 1.1 or later
  ROOT/objects/<prototype_name>.glb                 from the ADT object library, metres
  ROOT/frames/<timestamp in ns>/color.png           undistorted RGB camera
  ROOT/frames/<timestamp in ns>/instances.npy       H x W integers: instance id of each pixel (segmentations.vrs)
  ROOT/frames/<timestamp in ns>/depth.png           16-bit, z in millimetres, 0 = unknown (depth_images.vrs)
  ROOT/frames/<timestamp in ns>/camera.json         {"fx", "fy", "cx", "cy", "T_device_camera": 4 x 4}, OpenCV camera,
                                                    pixel centres at +0.5"""
SAME_BOX_M = 0.02  # how far a mesh's box may lie from the published one
NEAREST_POSE_NS = 50_000_000
MIN_PIXELS = 400  # of an object, for it to be a case

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Sequence:
    """The published tables of one sequence."""

    root: Path
    prototypes: dict[int, str]
    boxes: dict[int, Floats]  # 2 x 3, lowest and highest corner in the object's own frame
    objects: dict[
        int, tuple[NDArray[np.int64], Floats]
    ]  # times (T; -1 = static) and T_world_object (T x 4 x 4)
    device: tuple[NDArray[np.int64], Floats]  # times (T) and T_world_device (T x 4 x 4)


def adt_cases(root: Path) -> Iterator[EvaluationCase]:
    """One case per frame and rigid object with at least MIN_PIXELS.

    Raises LayoutRefused before the first one or at a bad one.
    """
    missing = [name for name in ("instances.json", *TABLES) if not (root / name).is_file()]
    folders = sorted((p for p in root.glob("frames/*") if p.name.isdigit()), key=lambda p: int(p.name))
    missing += [] if folders else ["frames/<timestamp in ns>"]
    if missing:
        raise refuse(root, f"it has no {', '.join(missing)}", expected=EXPECTED)
    try:
        sequence = _sequence(root)
    except READING_ERRORS as error:
        raise refuse(root, f"its tables cannot be used: {error}", expected=EXPECTED) from error
    return (case for folder in folders for case in _cases_of(sequence, folder))


def _sequence(root: Path) -> _Sequence:
    instances = json.loads((root / "instances.json").read_bytes())
    poses = _rows(root, "scene_objects.csv")
    grouped: dict[int, list[tuple[int, Floats]]] = {}
    for row in poses:
        quaternion = [float(row[name]) for name in ("q_wo_w", "q_wo_x", "q_wo_y", "q_wo_z")]
        way = [float(row[name]) for name in ("t_wo_x[m]", "t_wo_y[m]", "t_wo_z[m]")]
        grouped.setdefault(int(row["object_uid"]), []).append(
            (int(row["timestamp[ns]"]), _matrix(quaternion, way))
        )
    walked = [
        (
            int(row["tracking_timestamp_us"]) * 1000,
            _matrix(
                wxyz_from_xyzw([float(row[f"q{axis}_world_device"]) for axis in "xyzw"]),
                [float(row[f"t{axis}_world_device"]) for axis in "xyz"],
            ),
        )
        for row in _rows(root, "aria_trajectory.csv")
    ]
    return _Sequence(
        root=root,
        prototypes={
            int(one["instance_id"]): str(one["prototype_name"])
            for one in instances.values()
            if one["instance_type"] == "object" and one["rigidity"] == "rigid"
        },
        boxes={
            int(row["object_uid"]): np.array(
                [[float(row[f"p_local_obj_{axis}{end}[m]"]) for axis in "xyz"] for end in ("min", "max")]
            )
            for row in _rows(root, "3d_bounding_box.csv")
        },
        objects={uid: _series(rows) for uid, rows in grouped.items()},
        device=_series(walked),
    )


def _rows(root: Path, name: str) -> list[dict[str, str]]:
    with (root / name).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lost = [column for column in TABLES[name] if column not in (reader.fieldnames or ())]
        if lost:
            raise ValueError(f"{name} has no column {', '.join(lost)}")
        rows = list(reader)
    if not rows:
        raise ValueError(f"{name} has no rows")
    return rows


def _matrix(quaternion_wxyz: Any, way: list[float]) -> Floats:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_wxyz(quaternion_wxyz)
    matrix[:3, 3] = way
    return matrix


def _series(rows: list[tuple[int, Floats]]) -> tuple[NDArray[np.int64], Floats]:
    ordered = sorted(rows, key=lambda row: row[0])
    return np.array([row[0] for row in ordered], dtype=np.int64), np.stack([row[1] for row in ordered])


def _at(series: tuple[NDArray[np.int64], Floats], time_ns: int) -> Floats | None:
    """The pose at the nearest time, or that of a thing that never moves; None where none is near."""
    times, poses = series
    if times[0] == -1:
        return np.asarray(poses[0])
    nearest = int(np.abs(times - time_ns).argmin())
    return np.asarray(poses[nearest]) if abs(int(times[nearest]) - time_ns) <= NEAREST_POSE_NS else None


def _cases_of(sequence: _Sequence, folder: Path) -> Iterator[EvaluationCase]:
    try:
        yield from _seen(sequence, folder)
    except READING_ERRORS as error:
        raise refuse(
            sequence.root, f"frame {folder.name} cannot be used: {error}", expected=EXPECTED
        ) from error


def _seen(sequence: _Sequence, folder: Path) -> Iterator[EvaluationCase]:
    image = read_image(folder / "color.png")
    seen = np.load(folder / "instances.npy", allow_pickle=False)
    with Image.open(folder / "depth.png") as opened:
        depth = np.asarray(opened).astype(np.float64) / 1000.0
    if seen.shape != image.shape[:2] or depth.shape != image.shape[:2]:
        raise ValueError(f"colour {image.shape[:2]}, instances {seen.shape} and depth {depth.shape} differ")
    given = json.loads((folder / "camera.json").read_bytes())
    camera = Intrinsics(
        **{name: float(given[name]) for name in ("fx", "fy", "cx", "cy")},
        width=image.shape[1],
        height=image.shape[0],
    )
    time_ns = int(folder.name)
    world_device = _at(sequence.device, time_ns)
    if world_device is None:
        raise ValueError(f"the trajectory has no pose within {NEAREST_POSE_NS} ns")
    camera_world = np.linalg.inv(world_device @ np.asarray(given["T_device_camera"], dtype=np.float64))
    grid = pixel_grid(width=camera.width, height=camera.height)
    points = unproject(grid, np.where(depth > 0, depth, np.nan), camera).astype(np.float32)
    for uid, count in zip(*np.unique(seen, return_counts=True), strict=True):
        prototype = sequence.prototypes.get(int(uid))
        placed = _at(sequence.objects[int(uid)], time_ns) if int(uid) in sequence.objects else None
        if prototype is None or placed is None or count < MIN_PIXELS:
            continue
        mesh = read_mesh(sequence.root / "objects" / f"{prototype}.glb")
        _refuse_other_box(prototype, mesh.vertices, sequence.boxes[int(uid)])
        yield EvaluationCase(
            name=f"{folder.name}/{prototype}",
            source="adt",
            image=image,
            mask=np.asarray(seen == uid),
            intrinsics=camera,
            points=points,
            mesh=mesh,
            pose=pose_from_matrix(camera_world @ placed @ T_GLB_OBJECT, unit="m"),
            unit="m",
        )


def _refuse_other_box(prototype: str, vertices: Floats, published: Floats) -> None:
    """Raises ValueError unless the mesh lies in the frame that the poses speak of: the published box is its own."""
    corners = np.array([vertices.min(axis=0), vertices.max(axis=0)])
    theirs = np.sort(object_from_glb(published), axis=0)
    if np.abs(corners - theirs).max() > SAME_BOX_M:
        raise ValueError(
            f"objects/{prototype}.glb has the box {corners.round(3).tolist()}, 3d_bounding_box.csv says "
            f"{theirs.round(3).tolist()} (Z-up, metres): another unit, frame or object"
        )
