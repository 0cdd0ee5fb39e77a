"""MIDI (VAST-AI-Research/MIDI-3D): all masks of one photograph to all of its objects, placed as one scene."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Pose, SamplerSettings, Unit
from modelzoo.ports.children.run_midi import INSTALL
from modelzoo.ports.external import ForeignEnvironment, ForeignObject, Port, ask_objects, with_options
from modelzoo.ports.foreign_mesh import candidate_from_shape, coloured_mesh, unit_cube
from modelzoo.ports.placement import placed

PORT = Port(
    name="midi",
    child="run_midi",
    install=INSTALL,
    licence="MIT; see the model card for the weights",
    axes_stated=False,
)


@dataclass(frozen=True, kw_only=True)
class SceneRequest:
    """One photograph and the masks (N, H, W) of its objects; the other fields as in CandidateRequest."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    seeds: tuple[int, ...]
    points: NDArray[np.float32] | None = None
    unit: Unit = "pointmap"
    settings: SamplerSettings = field(default_factory=SamplerSettings)

    def __post_init__(self) -> None:
        """Raises ValueError as CandidateRequest does, and for masks that are no stack of filled masks."""
        if self.masks.ndim != 3 or not len(self.masks) or not self.masks.any(axis=(1, 2)).all():
            raise ValueError(f"masks must be (N, H, W), each with a pixel, not {self.masks.shape}")
        self.for_mask(self.union)

    @property
    def union(self) -> NDArray[np.bool_]:
        """Where any object is."""
        return np.asarray(self.masks.any(axis=0))

    def for_mask(self, mask: NDArray[np.bool_]) -> CandidateRequest:
        """The same photograph with one mask."""
        return CandidateRequest(
            image=self.image,
            mask=mask,
            seeds=self.seeds,
            points=self.points,
            unit=self.unit,
            settings=self.settings,
        )


class MidiSource:
    """Whole scenes: the objects keep their places to each other, and one search places them in the photograph."""

    name = PORT.name

    def __init__(self, environment: ForeignEnvironment) -> None:
        self.process = environment.process(PORT)

    def generate_scene(self, request: SceneRequest) -> tuple[tuple[GeneratedCandidate, ...], ...]:
        """For every seed one candidate per mask, in the order of the masks. Raises SourceError."""
        every = with_options(request.for_mask(request.union), self.process)
        objects = ask_objects(self.process, PORT, every, masks=request.masks)
        count = len(request.masks)
        scenes = [objects[start : start + count] for start in range(0, len(objects), count)]
        return tuple(self._scene(scene, request, every) for scene in scenes)

    def close(self) -> None:
        self.process.close()

    def _scene(
        self, scene: list[ForeignObject], request: SceneRequest, every: CandidateRequest
    ) -> tuple[GeneratedCandidate, ...]:
        pose, notes = _scene_pose(scene, every)
        return tuple(
            candidate_from_shape(
                one.shape,
                replace(every, mask=request.masks[one.number]),
                seed=one.seed,
                pose=pose,
                gaussians=one.gaussians,
                fallbacks=(*one.fallbacks, *notes),
            )
            for one in scene
        )


def _scene_pose(scene: list[ForeignObject], every: CandidateRequest) -> tuple[Pose, tuple[str, ...]]:
    """T_camera_scene: the union of the objects placed against the union of the masks."""
    offsets = np.cumsum([0, *(len(one.shape.vertices) for one in scene)])[:-1]
    union = replace(
        scene[0].shape,
        vertices=np.concatenate([one.shape.vertices for one in scene]),
        faces=np.concatenate([one.shape.faces + start for one, start in zip(scene, offsets, strict=True)]),
        colours=None,
    )
    cube = unit_cube(union.vertices[np.unique(union.faces)])
    mesh, _ = coloured_mesh(union, cube)
    found = placed(mesh.vertices, mesh.faces, None, every)
    notes = tuple("scene_pose_searched" if note == "pose_searched" else note for note in found.fallbacks)
    return cube.pose_of_maker(found.pose), notes
