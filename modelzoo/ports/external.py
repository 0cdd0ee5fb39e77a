"""The one contract of all foreign generators: a request as files to a child process, meshes back, candidates of ours.

A port names its child (modelzoo/ports/children), what to install and what is known of its axes; everything else is
common: time limits, crashes, normalisation to the object frame, and the mark of every step that was a fallback.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Pose, Unit
from modelzoo.frames import pose_from_parts, rotation_from_wxyz
from modelzoo.ports.axes import pose_from_released
from modelzoo.ports.child_process import ChildProcess, SourceError
from modelzoo.ports.children import protocol
from modelzoo.ports.foreign_mesh import ForeignShape, candidate_from_shape, read_gaussians, read_shape

MAX_FILE_BYTES = 2**31

Masks = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Port:
    """What all uses of one foreign package share; ``axes_stated`` is False where nothing says which way is up."""

    name: str
    child: str  # a module of modelzoo.ports.children
    install: str
    licence: str
    axes_stated: bool
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ForeignEnvironment:
    """Where a foreign package lives: its interpreter, clones that go on its path, its options, and time limits."""

    interpreter: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    start_limit_s: float = 900.0  # loading weights
    limit_s: float = 600.0  # one request

    def process(self, port: Port) -> ChildProcess:
        return ChildProcess(
            port.child,
            interpreter=self.interpreter,
            options=self.options,
            paths=self.paths,
            environment={**port.environment, **self.environment},
            start_limit_s=self.start_limit_s,
            limit_s=self.limit_s,
        )


@dataclass(frozen=True, kw_only=True)
class ForeignObject:
    """One object as the child gave it: surface, splats and pose in the maker's Z-up frame, and the steps it named."""

    seed: int
    number: int
    shape: ForeignShape
    gaussians: Any
    pose: Pose | None
    fallbacks: tuple[str, ...]


class ExternalSource:
    """A CandidateSource over a foreign package. The child starts with the first request; ``close`` ends it.

    ``generate`` raises SourceError; a wrong request raises ValueError before anything starts. Candidates carry no
    latents of ours (``b""``).
    """

    def __init__(self, port: Port, environment: ForeignEnvironment) -> None:
        self.port, self.name = port, port.name
        self.process = environment.process(port)

    def generate(self, request: CandidateRequest) -> tuple[GeneratedCandidate, ...]:
        """One candidate per seed, in the order of the seeds; their settings say what the child was told."""
        request = with_options(request, self.process)
        objects = ask_objects(self.process, self.port, request, masks=request.mask[None])
        return tuple(
            candidate_from_shape(
                one.shape,
                request,
                seed=one.seed,
                pose=one.pose,
                gaussians=one.gaussians,
                fallbacks=one.fallbacks,
            )
            for one in objects
        )

    def close(self) -> None:
        self.process.close()


def ask_objects(
    process: ChildProcess, port: Port, request: CandidateRequest, *, masks: Masks
) -> list[ForeignObject]:
    """What the child makes of every mask (N, H, W) for every seed, seeds outermost. Raises SourceError."""
    with tempfile.TemporaryDirectory(prefix="candid8-port-") as temporary:
        folder = Path(temporary)
        write_request(folder, request, masks=masks)
        items = process.ask(
            {
                "kind": "generate",
                "folder": str(folder),
                "seeds": list(request.seeds),
                "options": request.settings.source_options,
            }
        )
        wanted = [(seed, number) for seed in request.seeds for number in range(len(masks))]
        found = [(_integer(one, "seed"), _integer(one, "object")) for one in items]
        if found != wanted:
            raise SourceError("answer_refused", f"{port.name} was asked for {wanted} and answered {found}")
        return [_object(one, folder, port=port, unit=request.unit) for one in items]


def with_options(request: CandidateRequest, process: ChildProcess) -> CandidateRequest:
    """The request with all of the source's options in its settings: the child's own, changed by the request's."""
    options = {**process.options, **request.settings.source_options}
    return replace(request, settings=replace(request.settings, source_options=options))


def write_request(folder: Path, request: CandidateRequest, *, masks: Masks) -> None:
    """The request's arrays, where the child looks for them."""
    Image.fromarray(request.image).save(folder / protocol.IMAGE)
    np.savez_compressed(folder / protocol.MASKS, masks=masks)
    if request.points is not None:
        np.savez(folder / protocol.POINTS, points=request.points.astype(np.float32))


def _object(item: Mapping[str, Any], folder: Path, *, port: Port, unit: Unit) -> ForeignObject:
    """One item, checked. Raises SourceError for anything that is not what the contract says."""
    try:
        notes = item["fallbacks"]
        if not isinstance(notes, list) or not all(
            isinstance(note, str) and len(note) <= 80 for note in notes
        ):
            raise ValueError("fallbacks must be short names")
        gaussians = item["gaussians"]
        return ForeignObject(
            seed=int(item["seed"]),
            number=int(item["object"]),
            shape=read_shape(_file(folder, item["mesh"]), axes=item["axes"]),
            gaussians=None if gaussians is None else read_gaussians(_file(folder, gaussians)),
            pose=None if item["pose"] is None else _pose(item["pose"], unit=unit),
            fallbacks=(*notes, *(() if port.axes_stated else ("axes_assumed",))),
        )
    except (KeyError, TypeError, ValueError, OSError, IndexError, zipfile.BadZipFile) as error:
        raise SourceError("answer_refused", f"{port.name} answered something unusable: {error}") from error


def _pose(given: Mapping[str, Any], *, unit: Unit) -> Pose:
    """T_camera_object of the maker's Z-up object, in the sent points' unit only where it stands in those points."""
    unit = unit if given["own_points"] else "pointmap"
    if given["convention"] == "pytorch3d_rows":
        return pose_from_released(
            rotation_wxyz=given["rotation_wxyz"],
            translation=given["translation"],
            scale=given["scale"],
            unit=unit,
        )
    if given["convention"] == "opencv_columns":
        return pose_from_parts(
            rotation=rotation_from_wxyz(given["rotation_wxyz"]),
            translation=given["translation"],
            scale=float(np.mean(given["scale"])),
            unit=unit,
        )
    raise ValueError(f"unknown pose convention {given['convention']!r}")


def _file(folder: Path, name: str) -> Path:
    """A file that the child left in the request's own folder."""
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise ValueError(f"{name!r} is no file of this request")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{name!r} is larger than {MAX_FILE_BYTES} bytes")
    return path


def _integer(item: Any, name: str) -> int | None:
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, int) else None
