"""FoundationPose (NVlabs/FoundationPose) as a layout source: rotation and translation of a mesh, given its size.

It takes metres and a mesh of known size and gives no scale. The size comes from our own placement of the shape
(placement.placed); points that are known up to one scale are brought to about a metre first, and back afterwards.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from modelzoo.contracts import CandidateRequest, Pose
from modelzoo.frames import pose_from_parts
from modelzoo.latents import latents_from_bytes
from modelzoo.ports.child_process import SourceError
from modelzoo.ports.children import protocol
from modelzoo.ports.children.run_foundation_pose import INSTALL
from modelzoo.ports.external import ForeignEnvironment, Port, write_request
from modelzoo.ports.foreign_mesh import ForeignShape
from modelzoo.ports.placement import camera_of, placed

PORT = Port(
    name="foundationpose",
    child="run_foundation_pose",
    install=INSTALL,
    licence="NVIDIA Source Code License: research and evaluation only",
    axes_stated=True,
)
WORKING_DEPTH_M = 1.0  # to which points of unknown unit are brought: its constants are metres


class FoundationPoseSource:
    """A LayoutSource over FoundationPose. Needs points; poses are in their unit. Raises SourceError."""

    name = PORT.name

    def __init__(self, environment: ForeignEnvironment) -> None:
        self.process = environment.process(PORT)

    def propose_layout(self, request: CandidateRequest, *, latents: bytes) -> tuple[Pose, ...]:
        """One pose per seed for the solid voxels in ``latents``, the best-scored hypotheses in order."""
        return self.propose_for_shape(request, shape_of_latents(latents))

    def propose_for_shape(self, request: CandidateRequest, shape: ForeignShape) -> tuple[Pose, ...]:
        """One pose per seed for an object-frame surface (unit cube, Z-up). Raises ValueError without points."""
        if request.points is None or not np.isfinite(request.points[request.mask]).any():
            raise ValueError("FoundationPose needs points inside the mask")
        camera, _ = camera_of(request)
        scale = placed(shape.vertices, shape.faces, shape.colours, request).pose.scale
        factor = 1.0 if request.unit == "m" else WORKING_DEPTH_M / _depth_of(request)
        with tempfile.TemporaryDirectory(prefix="candid8-port-") as temporary:
            folder = Path(temporary)
            points = (request.points * np.float32(factor)).astype(np.float32)
            write_request(folder, replace(request, points=points), masks=request.mask[None])
            colours = np.full_like(shape.vertices, 0.7) if shape.colours is None else shape.colours
            np.savez(
                folder / protocol.SHAPE,
                vertices=shape.vertices * scale * factor,
                faces=shape.faces,
                colours=colours,
            )
            items = self.process.ask(
                {
                    "kind": "layout",
                    "folder": str(folder),
                    "seeds": list(request.seeds),
                    "intrinsics": asdict(camera),
                }
            )
        return tuple(
            _pose(item, seed, request=request, scale=scale, factor=factor)
            for item, seed in zip(_as_many(items, request), request.seeds, strict=True)
        )

    def close(self) -> None:
        self.process.close()


def shape_of_latents(latents: bytes) -> ForeignShape:
    """The surface of the solid voxels in stored latents, in the object frame. Raises ValueError for other bytes."""
    solid = latents_from_bytes(latents).occupancy
    if not solid.any():
        raise ValueError("a shape without a solid voxel has no surface")
    vertices, faces, _, _ = marching_cubes(np.pad(solid, 1).astype(np.float32), 0.5)
    vertices = (vertices - 0.5) / solid.shape[0] - 0.5
    return ForeignShape(vertices=vertices.astype(np.float64), faces=faces.astype(np.int64))


def _pose(item: Any, seed: int, *, request: CandidateRequest, scale: float, factor: float) -> Pose:
    """The rigid 4 x 4 of a mesh that was made ``scale * factor`` large, as a similarity of the object frame."""
    try:
        matrix = np.asarray(item["matrix"], dtype=np.float64)
        if item["seed"] != seed or matrix.shape != (4, 4):
            raise ValueError(f"no 4 x 4 pose for seed {seed}")
        return pose_from_parts(
            rotation=_nearest_rotation(matrix[:3, :3]),
            translation=matrix[:3, 3] / factor,
            scale=scale,
            unit=request.unit,
        )
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise SourceError("answer_refused", f"{PORT.name} answered something unusable: {error}") from error


def _nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half precision leaves a rotation slightly off; farther off than that it is none."""
    left, stretch, right = np.linalg.svd(matrix)
    if np.abs(stretch - 1).max() > 0.05:
        raise ValueError("a registered pose must not scale")
    return np.asarray(left @ right)


def _as_many(items: list[Any], request: CandidateRequest) -> list[Any]:
    if len(items) != len(request.seeds):
        raise SourceError(
            "answer_refused", f"{PORT.name} answered {len(items)} poses for {len(request.seeds)} seeds"
        )
    return items


def _depth_of(request: CandidateRequest) -> float:
    assert request.points is not None
    depths = request.points[request.mask][:, 2]
    return float(np.median(depths[np.isfinite(depths) & (depths > 0)]))
