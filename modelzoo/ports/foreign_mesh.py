"""A mesh of any origin as a candidate of ours: read, turned to the object frame, normalised, written as our files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Pose, SamplerSettings
from modelzoo.decoders.cleanup import MAX_FACES, StepTaken
from modelzoo.decoders.mesh import ColouredMesh, decimate, mesh_from_surface
from modelzoo.exports.gaussian_ply import Gaussians, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh, preview_glb_from_mesh
from modelzoo.ports.placement import placed

GREY = 0.7  # of a surface whose colours nobody knows
MAX_VERTICES, MAX_GAUSSIANS = 20_000_000, 5_000_000
SURFACE_SPLATS = 20_000
PLACED_FACES = 6000  # of a shape while its pose is searched
DISC_THICKNESS = 0.1  # of a sampled splat, of its radius

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ForeignShape:
    """A surface in its maker's Z-up frame, at its maker's size; ``colours`` are sRGB in [0, 1], None when unknown."""

    vertices: Floats  # (V, 3)
    faces: NDArray[np.int64]  # (F, 3)
    colours: Floats | None = None  # (V, 3)

    def __post_init__(self) -> None:
        """Raises ValueError for anything that is not a finite, non-empty surface."""
        if (
            self.vertices.ndim != 2
            or self.vertices.shape[1] != 3
            or not 3 <= len(self.vertices) <= MAX_VERTICES
        ):
            raise ValueError(
                f"vertices must be (V, 3) with 3 <= V <= {MAX_VERTICES}, not {self.vertices.shape}"
            )
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or not len(self.faces):
            raise ValueError(f"faces must be (F, 3) with F > 0, not {self.faces.shape}")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise ValueError("faces name vertices that do not exist")
        if not np.isfinite(self.vertices).all():
            raise ValueError("vertices must be finite")
        if self.colours is not None and self.colours.shape != self.vertices.shape:
            raise ValueError(f"colours must be {self.vertices.shape}, not {self.colours.shape}")


@dataclass(frozen=True, kw_only=True)
class UnitCube:
    """The similarity of a normalised shape: x_maker = centre + side * x_object."""

    centre: Floats
    side: float

    def object_from_maker(self, points: Floats) -> Floats:
        return np.asarray((points - self.centre) / self.side)

    def pose_of_object(self, pose: Pose) -> Pose:
        """The pose of the normalised object, from the pose of the maker's: T_camera_maker T_maker_object."""
        centre = frames.camera_from_object(pose, self.centre)
        return replace(pose, translation=_triple(centre), scale=pose.scale * self.side)

    def pose_of_maker(self, pose: Pose) -> Pose:
        """The pose of the maker's object, from the pose of the normalised one; the inverse of ``pose_of_object``."""
        smaller = replace(pose, translation=(0.0, 0.0, 0.0), scale=pose.scale / self.side)
        centre = frames.camera_from_object(smaller, self.centre)
        return replace(smaller, translation=_triple(np.asarray(pose.translation) - centre))


def unit_cube(vertices: Floats) -> UnitCube:
    """The bounding box's centre and longest side. Raises ValueError for points that are all one."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    side = float((high - low).max())
    if side < 1e-9:
        raise ValueError("a shape without extent cannot be normalised")
    return UnitCube(centre=(low + high) / 2, side=side)


def read_shape(file: Path, *, axes: str) -> ForeignShape:
    """The surface in an NPZ of vertices, faces and maybe colours; ``axes`` is ``z_up`` or ``y_up``.

    Raises ValueError for anything else.
    """
    if axes not in ("z_up", "y_up"):
        raise ValueError(f"axes are z_up or y_up, not {axes!r}")
    with np.load(file) as arrays:
        vertices = np.asarray(arrays["vertices"], np.float64)
        faces = np.asarray(arrays["faces"]).astype(np.int64)
        colours = np.asarray(arrays["colours"], np.float64) if "colours" in arrays else None
    return ForeignShape(
        vertices=frames.object_from_glb(vertices) if axes == "y_up" else vertices,
        faces=faces,
        colours=colours,
    )


def read_gaussians(file: Path) -> Gaussians:
    """Activated Gaussians in an NPZ: positions, scales, rotations_wxyz, opacities, colours; Z-up.

    Raises ValueError for anything else; rotations are normalised.
    """
    names = ("positions", "scales", "rotations_wxyz", "opacities", "colours")
    with np.load(file) as arrays:
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"gaussians lack {', '.join(missing)}")
        rows = {name: np.asarray(arrays[name], np.float32) for name in names}
    count = len(rows["positions"])
    if not 0 < count <= MAX_GAUSSIANS or any(not np.isfinite(one).all() for one in rows.values()):
        raise ValueError(f"gaussians must be finite and 1 to {MAX_GAUSSIANS}, not {count}")
    length = np.linalg.norm(rows["rotations_wxyz"], axis=-1, keepdims=True)
    if (length < 1e-6).any() or (rows["scales"] <= 0).any():
        raise ValueError("gaussians need rotations and positive scales")
    rows["rotations_wxyz"] = rows["rotations_wxyz"] / length
    return Gaussians(
        positions=rows["positions"],
        scales=rows["scales"],
        rotations_wxyz=rows["rotations_wxyz"],
        opacities=rows["opacities"],
        colours=rows["colours"],
    )


def candidate_from_shape(
    shape: ForeignShape,
    request: CandidateRequest,
    *,
    seed: int,
    pose: Pose | None = None,
    gaussians: Gaussians | None = None,
    fallbacks: Sequence[str] = (),
) -> GeneratedCandidate:
    """The shape as a candidate of ``request``, without latents of ours (``b""``): unit cube, GLB, preview, splats.

    ``pose`` and ``gaussians`` are in the maker's frame and follow the normalisation. Fallbacks taken here:
    ``mesh_without_colours``, ``mesh_decimated``, ``splats_from_mesh``, and what ``placed`` says without a pose.
    """
    cube = unit_cube(shape.vertices[np.unique(shape.faces)])
    mesh, steps = coloured_mesh(shape, cube)
    if pose is None:
        preview = decimate(mesh, max_faces=PLACED_FACES)
        colours = None if shape.colours is None else preview.colours
        placement = placed(preview.vertices, preview.faces, colours, request)
        found, steps = placement.pose, (*steps, *placement.fallbacks)
    else:
        found = cube.pose_of_object(pose)
    if gaussians is not None:
        gaussians = replace(
            gaussians,
            positions=cube.object_from_maker(gaussians.positions.astype(np.float64)).astype(np.float32),
            scales=(gaussians.scales / cube.side).astype(np.float32),
        )
    return candidate_from_mesh(
        mesh,
        seed=seed,
        pose=found,
        settings=request.settings,
        gaussians=gaussians,
        fallbacks=(*fallbacks, *steps),
    )


def candidate_from_mesh(
    mesh: ColouredMesh,
    *,
    seed: int,
    pose: Pose,
    settings: SamplerSettings,
    gaussians: Gaussians | None = None,
    fallbacks: tuple[str, ...] = (),
    name: str = "candidate",
    copyright: str = "",
) -> GeneratedCandidate:
    """A mesh that is in the object frame already, with its pose and maybe Gaussians, as GLB, preview and splats."""
    steps = () if gaussians is not None else ("splats_from_mesh",)
    splats = splats_from_mesh(mesh, seed=seed) if gaussians is None else gaussians
    return GeneratedCandidate(
        seed=seed,
        pose=pose,
        latents=b"",
        mesh_glb=glb_from_mesh(mesh, name=name, copyright=copyright),
        preview_glb=preview_glb_from_mesh(mesh, name=name, copyright=copyright),
        splat_ply=ply_from_gaussians(splats),
        num_vertices=len(mesh.vertices),
        num_faces=len(mesh.faces),
        num_splats=len(splats.positions),
        settings=settings,
        fallbacks=tuple(dict.fromkeys((*fallbacks, *steps))),
    )


def coloured_mesh(shape: ForeignShape, cube: UnitCube) -> tuple[ColouredMesh, tuple[str, ...]]:
    """The normalised surface, facing outwards where it is closed, at most MAX_FACES faces; and what was done to it."""
    surface = trimesh.Trimesh(cube.object_from_maker(shape.vertices), shape.faces, process=False)
    if surface.is_watertight and surface.volume < 0:
        surface.invert()
    colours = np.full_like(surface.vertices, GREY) if shape.colours is None else np.clip(shape.colours, 0, 1)
    mesh = mesh_from_surface(
        np.asarray(surface.vertices, np.float32),
        np.asarray(surface.faces, np.int32),
        np.asarray(colours, np.float32),
    )
    steps = () if shape.colours is not None else ("mesh_without_colours",)
    if len(mesh.faces) > MAX_FACES:
        note = StepTaken(name="mesh_decimated", numbers={"faces_before": len(mesh.faces), "faces": MAX_FACES})
        return decimate(mesh, max_faces=MAX_FACES), (*steps, str(note))
    return mesh, steps


def splats_from_mesh(mesh: ColouredMesh, *, seed: int) -> Gaussians:
    """Flat opaque discs spread over the surface by area, that touch their neighbours; thin axis along the normal."""
    rng = np.random.default_rng(seed)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(crosses, axis=-1) / 2
    chosen = rng.choice(len(areas), SURFACE_SPLATS, p=(areas + 1e-15) / (areas + 1e-15).sum())
    first, second = np.sqrt(rng.random(SURFACE_SPLATS)), rng.random(SURFACE_SPLATS)
    weights = np.stack([1 - first, first * (1 - second), first * second], axis=-1)[..., None]
    radius = max(float(np.sqrt(areas.sum() / SURFACE_SPLATS / np.pi)), 1e-5)
    return Gaussians(
        positions=(corners[chosen] * weights).sum(axis=1).astype(np.float32),
        scales=np.tile(np.array([radius, radius, radius * DISC_THICKNESS], np.float32), (SURFACE_SPLATS, 1)),
        rotations_wxyz=_turns_of_z(_unit_normals(crosses[chosen])),
        opacities=np.full(SURFACE_SPLATS, 0.95, np.float32),
        colours=(mesh.colours[mesh.faces[chosen]] * weights).sum(axis=1).astype(np.float32),
    )


def _triple(values: Floats) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))


def _turns_of_z(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotations (N, 4), w x y z, that take z to unit directions (N, 3) by the shortest way."""
    x, y, z = directions.astype(np.float64).T
    turn = np.stack([1 + z, -y, x, np.zeros_like(z)], axis=-1)
    turn[1 + z < 1e-6] = (0.0, 1.0, 0.0, 0.0)  # a half turn about x
    return np.asarray(turn / np.linalg.norm(turn, axis=-1, keepdims=True), np.float32)


def _unit_normals(normals: Floats) -> NDArray[np.float32]:
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0]).astype(np.float32)
