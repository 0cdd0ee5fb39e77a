"""Real RGB-D frames with posed scans of the objects in them: photographs whose shapes and layouts are known, in metres.

Poses that were fitted to the depth map (as those of YCB scans in robots' demonstration frames) are no better than that
map; a case's note says where its pose comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzoo.contracts import Intrinsics
from modelzoo.frames import T_GLB_OBJECT, pixel_grid, pose_from_matrix, unproject
from training.evaluation_sets.cases import (
    READING_ERRORS,
    Y_UP_SUFFIXES,
    EvaluationCase,
    read_image,
    read_mask,
    read_mesh,
    refuse,
)

FRAMES = "rgbd_pose*/*"
NEEDED = ("color.png", "depth.png", "camera.json", "objects.json")
EXPECTED = """  ROOT/rgbd_pose*/<frame>/color.png
  ROOT/rgbd_pose*/<frame>/depth.png     16-bit, z = value / depth_scale metres, 0 = unknown, the colour's size
  ROOT/rgbd_pose*/<frame>/camera.json   {"fx", "fy", "cx", "cy", "width", "height", "depth_scale"}, OpenCV pixels
  ROOT/rgbd_pose*/<frame>/objects.json  [{"object", "mesh", "mask", "cam_T_mesh": 4 x 4, ...}], OpenCV camera, metres
  ROOT/rgbd_pose*/<frame>/<mask>        white = visible part
  ROOT/<mesh>                           GLB in metres; cam_T_mesh maps its vertices as they are in the file"""


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What the objects of one frame share."""

    folder: Path
    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    camera: Intrinsics


def rgbd_cases(root: Path) -> Iterator[EvaluationCase]:
    """One case per object of each frame, in order. Raises LayoutRefused before the first one or at a bad one."""
    folders = sorted(path for path in root.glob(FRAMES) if path.is_dir())
    if not folders:
        raise refuse(root, f"no folder {FRAMES}", expected=EXPECTED)
    for folder in folders:
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise refuse(root, f"{folder.name} has no {', '.join(missing)}", expected=EXPECTED)
    return (case for folder in folders for case in _cases_of(root, folder))


def _cases_of(root: Path, folder: Path) -> Iterator[EvaluationCase]:
    try:
        frame = _frame(folder)
        for each in json.loads((folder / "objects.json").read_bytes()):
            yield _case(root, frame, each)
    except READING_ERRORS as error:
        raise refuse(root, f"{folder.name} cannot be used: {error}", expected=EXPECTED) from error


def _frame(folder: Path) -> _Frame:
    image = read_image(folder / "color.png")
    given = json.loads((folder / "camera.json").read_bytes())
    with Image.open(folder / "depth.png") as opened:
        depth = np.asarray(opened).astype(np.float64) / float(given["depth_scale"])
    if depth.shape != image.shape[:2]:
        raise ValueError(f"the depth is {depth.shape}, the photograph {image.shape[:2]}")
    camera = Intrinsics(
        fx=float(given["fx"]),
        fy=float(given["fy"]),
        cx=float(given["cx"]) + 0.5,  # theirs are counted from the middle of the first pixel
        cy=float(given["cy"]) + 0.5,
        width=int(given["width"]),
        height=int(given["height"]),
    )
    if (camera.height, camera.width) != depth.shape:
        raise ValueError(f"the camera is {camera.width} x {camera.height}, the depth {depth.shape[::-1]}")
    grid = pixel_grid(width=camera.width, height=camera.height)
    points = unproject(grid, np.where(depth > 0, depth, np.nan), camera)
    return _Frame(folder=folder, image=image, points=points.astype(np.float32), camera=camera)


def _case(root: Path, frame: _Frame, each: dict[str, Any]) -> EvaluationCase:
    matrix = np.asarray(each["cam_T_mesh"], dtype=np.float64)
    file = root / each["mesh"]
    if file.suffix.lower() in Y_UP_SUFFIXES:
        matrix = matrix @ T_GLB_OBJECT  # the mesh was turned to Z-up when it was read
    return EvaluationCase(
        name=f"{frame.folder.name}/{each['object']}",
        source="rgbd",
        image=frame.image,
        mask=read_mask(frame.folder / each["mask"], shape=frame.image.shape),
        intrinsics=frame.camera,
        points=frame.points,
        mesh=read_mesh(file),
        pose=pose_from_matrix(matrix, unit="m"),
        unit="m",
        note=str(each.get("origin", "")),
    )
