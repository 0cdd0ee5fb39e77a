"""Many objects of one photograph in one file: GLB or splats, in the photograph's camera frame and its unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo import frames
from modelzoo.contracts import Pose
from modelzoo.exports.gaussian_ply import CAMERA_FRAME, OBJECT_FRAME, Gaussians, gaussians_from_ply
from modelzoo.exports.gltf import GlbBuilder, GlbParts, glb_parts

SCENE_AXES = "Y-up: the OpenCV camera's (x, y, z) is stored as (x, -y, -z), so the camera looks along -z"


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object: its files in the object frame, as a candidate has them, and where it stands."""

    name: str
    pose: Pose
    mesh_glb: bytes
    splat_ply: bytes | None = None


def scene_glb(objects: Sequence[SceneObject]) -> bytes:
    """One GLB with a node per object, whose matrix poses it and whose extras repeat the pose; pictures come along.

    Node matrices map the object's GLB axes into the OpenCV camera frame; the root node "camera_opencv" turns that
    frame's y up. Raises ValueError when there is no object, poses differ in frame or unit, or a file is not an
    object's uncompressed GLB.
    """
    unit = _common_unit(objects)
    files = [_object_parts(one) for one in objects]
    extras = {"frame": CAMERA_FRAME, "unit": unit, "axes": SCENE_AXES}
    builder = GlbBuilder(extras=extras, copyright=_copyright(files))
    nodes = [_posed_node(builder, one, parts) for one, parts in zip(objects, files, strict=True)]
    root = builder.add(
        "nodes",
        {
            "name": CAMERA_FRAME,
            "matrix": _column_major(frames.T_GLB_CAMERA),
            "children": nodes,
            "extras": {"frame": CAMERA_FRAME, "unit": unit},
        },
    )
    return builder.glb(roots=[root])


def scene_gaussians(objects: Sequence[SceneObject]) -> Gaussians:
    """All objects' splats in the OpenCV camera frame: positions posed, rotations turned, scales multiplied.

    Raises ValueError as ``scene_glb`` does, and for an object without splats.
    """
    unit = _common_unit(objects)
    placed = [_posed_gaussians(one) for one in objects]
    return Gaussians(
        positions=np.concatenate([one.positions for one in placed]),
        scales=np.concatenate([one.scales for one in placed]),
        rotations_wxyz=np.concatenate([one.rotations_wxyz for one in placed]),
        opacities=np.concatenate([one.opacities for one in placed]),
        colours=np.concatenate([one.colours for one in placed]),
        frame=CAMERA_FRAME,
        unit=unit,
    )


def _common_unit(objects: Sequence[SceneObject]) -> str:
    if not objects:
        raise ValueError("a scene needs at least one object")
    strangers = {one.pose.frame for one in objects} - {CAMERA_FRAME}
    if strangers:
        raise ValueError(f"a scene is composed in {CAMERA_FRAME}, not in {', '.join(sorted(strangers))}")
    units = {one.pose.unit for one in objects}
    if len(units) > 1:
        raise ValueError(f"objects of one scene share one unit, these have {' and '.join(sorted(units))}")
    return units.pop()


def _copyright(files: Sequence[GlbParts]) -> str:
    given = [parts.document["asset"].get("copyright", "") for parts in files]
    return "; ".join(dict.fromkeys(text for text in given if text))


def _posed_node(builder: GlbBuilder, one: SceneObject, parts: GlbParts) -> int:
    first = builder.append(parts.document, parts.binary)
    roots = parts.document["scenes"][parts.document.get("scene", 0)]["nodes"]
    pose = frames.matrix_from_pose(one.pose)
    return builder.add(
        "nodes",
        {
            "name": one.name,
            "matrix": _column_major(pose @ np.linalg.inv(frames.T_GLB_OBJECT)),
            "children": [first + node for node in roots],
            "extras": {
                "frame": one.pose.frame,
                "unit": one.pose.unit,
                "T_camera_object": pose.tolist(),
                "rotation_wxyz": list(one.pose.rotation_wxyz),
                "translation": list(one.pose.translation),
                "scale": one.pose.scale,
            },
        },
    )


def _object_parts(one: SceneObject) -> GlbParts:
    try:
        parts = glb_parts(one.mesh_glb)
    except ValueError as error:
        raise ValueError(f"{one.name}: {error}") from error
    extras: dict[str, Any] = parts.document["asset"].get("extras", {})
    frame = extras.get("frame", OBJECT_FRAME)
    if frame != OBJECT_FRAME:
        raise ValueError(f"{one.name}: its GLB is in the frame {frame!r}, not an object's")
    if len(parts.document["buffers"]) != 1:
        raise ValueError(f"{one.name}: compose uncompressed GLB files, and compress the scene")
    return parts


def _posed_gaussians(one: SceneObject) -> Gaussians:
    if one.splat_ply is None:
        raise ValueError(f"{one.name} has no splats")
    own = gaussians_from_ply(one.splat_ply)
    if own.frame != OBJECT_FRAME:
        raise ValueError(f"{one.name}: its splats are in the frame {own.frame!r}, not an object's")
    turned = frames.multiply_wxyz(one.pose.rotation_wxyz, own.rotations_wxyz)
    return Gaussians(
        positions=frames.camera_from_object(one.pose, own.positions).astype(np.float32),
        scales=own.scales * np.float32(one.pose.scale),
        rotations_wxyz=turned.astype(np.float32),
        opacities=own.opacities,
        colours=own.colours,
        frame=CAMERA_FRAME,
        unit=one.pose.unit,
    )


def _column_major(matrix: frames.Floats) -> list[float]:
    flat: list[float] = matrix.T.reshape(-1).tolist()
    return flat
