"""SA-3DAO, SAM 3D's artist objects: photographs with masks and untextured meshes made for them (100 public of 1,000).

The file layout of the release is behind a form and stated in no public text that we know of; this reader states its
own, to which a download has to be brought, and refuses everything else. Meshes are normalised by the metrics, so that
their unit and origin do not matter; without a pose only shape can be scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelzoo.contracts import Intrinsics
from modelzoo.frames import pose_from_matrix
from training.evaluation_sets.cases import (
    MESH_SUFFIXES,
    READING_ERRORS,
    EvaluationCase,
    one_file,
    read_image,
    read_mask,
    read_mesh,
    refuse,
)

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
EXPECTED = f"""  ROOT/<object>/image.png (or {", ".join(PICTURES[1:])})
  ROOT/<object>/mask.png           white or opaque = object, the photograph's size
  ROOT/<object>/mesh.glb           (or {", ".join(MESH_SUFFIXES[1:])}; those are read as Z-up)
  ROOT/<object>/pose.json          optional: {{"fx", "fy", "cx", "cy", "T_camera_object": 4 x 4}}, pixels with centres
                                   at +0.5, OpenCV camera, object Z-up (a GLB's Y-up vertices turned), one unit
one folder per object; the authors' own layout is not publicly documented"""


def sa_3dao_cases(root: Path) -> Iterator[EvaluationCase]:
    """One case per object folder, by name. Raises LayoutRefused before the first one or at a bad one."""
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    if not folders:
        raise refuse(root, "it holds no folders", expected=EXPECTED)
    return (_case(root, folder) for folder in folders)


def _case(root: Path, folder: Path) -> EvaluationCase:
    picture, mask_file = one_file(folder, "image", PICTURES), one_file(folder, "mask", (".png",))
    mesh_file = one_file(folder, "mesh", MESH_SUFFIXES)
    missing = [n for n, f in (("image", picture), ("mask", mask_file), ("mesh", mesh_file)) if f is None]
    if missing or picture is None or mask_file is None or mesh_file is None:
        raise refuse(root, f"{folder.name} has no {' and no '.join(missing)}", expected=EXPECTED)
    try:
        image = read_image(picture)
        given = _pose(folder / "pose.json", width=image.shape[1], height=image.shape[0])
        return EvaluationCase(
            name=folder.name,
            source="sa-3dao",
            image=image,
            mask=read_mask(mask_file, shape=image.shape),
            mesh=read_mesh(mesh_file),
            **given,
        )
    except READING_ERRORS as error:
        raise refuse(root, f"{folder.name} cannot be used: {error}", expected=EXPECTED) from error


def _pose(file: Path, *, width: int, height: int) -> dict[str, Any]:
    """Camera and pose where there are any."""
    if not file.is_file():
        return {}
    given = json.loads(file.read_bytes())
    camera = {name: float(given[name]) for name in ("fx", "fy", "cx", "cy")}
    return {
        "intrinsics": Intrinsics(**camera, width=width, height=height),
        "pose": pose_from_matrix(given["T_camera_object"], unit="pointmap"),
    }
