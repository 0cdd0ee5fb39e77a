"""Frozen dataset versions: ``manifest.jsonl`` and the blobs its lines name, read strictly and turned into tensors."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from modelzoo.conditioning import Condition, condition, encode_layout
from modelzoo.frames import rotation_from_wxyz
from modelzoo.latents import latents_from_bytes
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.solids import (
    fit_to_cube,
    mesh_of_glb,
    solid_from_mesh,
    turn_matrix,
    turned,
    turns_to_nearest_face,
)

HASH_NAME = re.compile("[0-9a-f]{64}")  # of a blob that can be held to its contents


class ManifestRefused(ValueError):
    """A dataset that will not be trained on; the message names the line and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class ManifestPose:
    """T_camera_object of a demonstration, in the frame of its point map."""

    rotation_wxyz: tuple[float, ...]
    translation: tuple[float, ...]
    scale: float


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """One accepted answer; blob keys. It has latents or a mesh (or both), and maybe a pose."""

    id: str
    image: str
    mask: str
    pointmap: str | None
    pointmap_approximate: bool
    latents: str | None
    mesh: str | None
    pose: ManifestPose | None
    source: str | None  # who or what made it, where the manifest says so


@dataclass(frozen=True, kw_only=True)
class PreferencePair:
    """A chosen and a rejected candidate of the same image and mask; blob keys."""

    id: str
    image: str
    mask: str
    pointmap: str | None
    pointmap_approximate: bool
    chosen_latents: str | None
    chosen_mesh: str | None
    rejected_latents: str | None
    rejected_mesh: str | None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A frozen dataset version on disk; ``sha256`` is that of its manifest's bytes."""

    folder: Path
    sha256: str
    demonstrations: tuple[Demonstration, ...]
    preferences: tuple[PreferencePair, ...]

    def blob(self, key: str) -> bytes:
        """Bytes of a blob, beside the manifest or under ``blobs``.

        Raises ManifestRefused when it is not there, and when it is named by a sha256 that is not its own.
        """
        for path in (self.folder / "blobs" / key, self.folder / key):
            if path.is_file():
                data = path.read_bytes()
                if HASH_NAME.fullmatch(path.stem) and hashlib.sha256(data).hexdigest() != path.stem:
                    raise ManifestRefused(f"blob {key} was altered: it is not what its hash says")
                return data
        raise ManifestRefused(f"blob {key} is missing")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A target's condition with one raw latent (C x D^3) and, when its pose is known, its raw layout."""

    condition: Condition
    latent: Tensor
    layout: NDArray[np.float32] | None


def read_dataset(folder: Path) -> Dataset:
    """Parse and check every line. Raises ManifestRefused with the line's number."""
    path = folder / "manifest.jsonl"
    if not path.is_file():
        raise ManifestRefused(f"{path.name} is missing")
    data = path.read_bytes()
    demonstrations, preferences = [], []
    for number, line in enumerate(data.decode("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = _Row(json.loads(line))
            kind = row.text("kind")
            if kind == "demonstration":
                demonstrations.append(_demonstration(row))
            elif kind == "preference":
                preferences.append(_preference(row))
            elif kind != "held_back":  # which says what is not here
                raise ManifestRefused(f"kind {kind!r} is neither demonstration, preference nor held_back")
        except (json.JSONDecodeError, ManifestRefused) as error:
            raise ManifestRefused(f"line {number}: {error}") from error
    return Dataset(
        folder=folder,
        sha256=hashlib.sha256(data).hexdigest(),
        demonstrations=tuple(demonstrations),
        preferences=tuple(preferences),
    )


def prepare_demonstration(
    dataset: Dataset, item: Demonstration, vae: SparseStructureVAE, *, size: int
) -> Prepared:
    """Condition, re-encoded solid and layout of a demonstration, turned with its nearest face to the camera."""
    try:
        seen = _seen(dataset, item, size=size)
        grid, centre, shrink = _solid(dataset, item.latents, item.mesh, vae)
    except ValueError as error:
        raise ManifestRefused(f"demonstration {item.id}: {error}") from error
    layout = None
    if item.pose is not None:
        rotation = rotation_from_wxyz(item.pose.rotation_wxyz)
        translation = np.array(item.pose.translation) + rotation @ (item.pose.scale * centre)
        turns = turns_to_nearest_face(rotation, translation)
        grid = turned(grid, quarter_turns=turns)
        rotation = rotation @ turn_matrix(turns).T
        # Without a point map the model's frame is a guess in which this pose says nothing.
        if _shaping_point_map(item) is not None:
            layout = encode_layout(rotation, translation, item.pose.scale * shrink, seen.normaliser)
    return Prepared(condition=seen, latent=_encoded(grid, vae), layout=layout)


def prepare_preference(
    dataset: Dataset, item: PreferencePair, vae: SparseStructureVAE, *, size: int
) -> tuple[Prepared, Prepared]:
    """Chosen and rejected of a pair, with the same condition."""
    return PairReader(dataset, vae, size=size).pair(item)


class PairReader:
    """Prepares a dataset's pairs; a photograph or a candidate that several pairs name is prepared once.

    What is kept lies in a few large arrays: kept one by one between the large ones that encoding takes and gives back,
    a few hundred pairs left gigabytes of memory in pieces that nothing could use.
    """

    def __init__(
        self, dataset: Dataset, vae: SparseStructureVAE, *, size: int, most: int | None = None
    ) -> None:
        """``most`` pairs will be asked for, all of the dataset's unless said."""
        self.dataset, self.vae, self.size = dataset, vae, size
        self._seen: dict[tuple[str | None, ...], Condition] = {}
        self._latents: dict[tuple[str | None, str | None], Tensor] = {}
        count = len(dataset.preferences) if most is None else most
        self._views = np.empty((count, 2, 8, size, size), np.float32)
        self._kept_latents = torch.empty((2 * count, *vae.preset.latent_shape))

    def pair(self, item: PreferencePair) -> tuple[Prepared, Prepared]:
        """Chosen and rejected, with the same condition. Raises ManifestRefused naming the pair."""
        photograph = (item.image, item.mask, _shaping_point_map(item))
        halves = (
            (item.chosen_latents, item.chosen_mesh),
            (item.rejected_latents, item.rejected_mesh),
        )
        try:
            if photograph not in self._seen:
                self._seen[photograph] = self._kept(_seen(self.dataset, item, size=self.size))
            for half in halves:
                if half not in self._latents:
                    place = self._kept_latents[len(self._latents)]
                    place.copy_(_encoded(_solid(self.dataset, *half, self.vae)[0], self.vae))
                    self._latents[half] = place
        except ValueError as error:
            raise ManifestRefused(f"preference {item.id}: {error}") from error
        seen = self._seen[photograph]
        chosen, rejected = (
            Prepared(condition=seen, latent=self._latents[half], layout=None) for half in halves
        )
        return chosen, rejected

    def _kept(self, seen: Condition) -> Condition:
        crop, full = self._views[len(self._seen)]
        crop[:], full[:] = seen.crop, seen.full
        return Condition(crop=crop, full=full, box=seen.box, normaliser=seen.normaliser)


class _Row:
    """Typed reads of one manifest line."""

    def __init__(self, values: Any) -> None:
        if not isinstance(values, dict):
            raise ManifestRefused("not a JSON object")
        self.values = values

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise ManifestRefused(f"{name} must be a text, not {value!r}")
        return str(value)

    def key(self, name: str) -> str:
        value = self.text(name)
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ManifestRefused(f"{name} {value!r} is not a blob key")
        return value

    def key_or_none(self, name: str) -> str | None:
        if name not in self.values:
            raise ManifestRefused(f"{name} is missing")
        return None if self.values[name] is None else self.key(name)

    def flag(self, name: str) -> bool:
        """False when it is not there: manifests frozen before it existed were trained on with every point map."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise ManifestRefused(f"{name} must be true or false, not {value!r}")
        return value

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise ManifestRefused(f"{name} must be {count} numbers, not {value!r}")
        if not all(isinstance(v, int | float) and np.isfinite(v) for v in value):
            raise ManifestRefused(f"{name} holds something that is no finite number")
        return tuple(float(v) for v in value)


def _demonstration(row: _Row) -> Demonstration:
    pose = None
    if row.values.get("pose") is not None:
        inner = _Row(row.values["pose"])
        scale = inner.values.get("scale")
        if (
            isinstance(scale, bool)
            or not isinstance(scale, int | float)
            or not np.isfinite(scale)
            or scale <= 0
        ):
            raise ManifestRefused(f"pose.scale must be positive, not {scale!r}")
        pose = ManifestPose(
            rotation_wxyz=inner.numbers("rotation_wxyz", 4),
            translation=inner.numbers("translation", 3),
            scale=float(scale),
        )
    item = Demonstration(
        id=row.text("id"),
        image=row.key("image"),
        mask=row.key("mask"),
        pointmap=row.key_or_none("pointmap"),
        pointmap_approximate=row.flag("pointmap_approximate"),
        latents=row.key_or_none("latents"),
        mesh=row.key_or_none("mesh"),
        pose=pose,
        source=None if row.values.get("source") is None else row.text("source"),
    )
    if item.latents is None and item.mesh is None:
        raise ManifestRefused("a demonstration needs latents or a mesh")
    return item


def _preference(row: _Row) -> PreferencePair:
    item = PreferencePair(
        id=row.text("id"),
        image=row.key("image"),
        mask=row.key("mask"),
        pointmap=row.key_or_none("pointmap"),
        pointmap_approximate=row.flag("pointmap_approximate"),
        chosen_latents=row.key_or_none("chosen_latents"),
        chosen_mesh=row.key_or_none("chosen_mesh"),
        rejected_latents=row.key_or_none("rejected_latents"),
        rejected_mesh=row.key_or_none("rejected_mesh"),
    )
    for side, latents, mesh in (
        ("chosen", item.chosen_latents, item.chosen_mesh),
        ("rejected", item.rejected_latents, item.rejected_mesh),
    ):
        if latents is None and mesh is None:
            raise ManifestRefused(f"the {side} half of a preference needs latents or a mesh")
    for side in ("chosen", "rejected"):
        if row.values.get(f"{side}_target", row.values.get("target")) != row.values.get("target"):
            raise ManifestRefused(
                f"the {side} half answers target {row.values[f'{side}_target']}, the pair is about "
                f"{row.values.get('target')}"
            )
    if (item.chosen_latents, item.chosen_mesh) == (item.rejected_latents, item.rejected_mesh):
        raise ManifestRefused("chosen and rejected are the same candidate")
    return item


def _shaping_point_map(item: Demonstration | PreferencePair) -> str | None:
    """The point map that the model may see: not a guessed one, as when candidates are made."""
    return None if item.pointmap_approximate else item.pointmap


def _seen(dataset: Dataset, item: Demonstration | PreferencePair, *, size: int) -> Condition:
    try:
        colours = np.asarray(Image.open(io.BytesIO(dataset.blob(item.image))).convert("RGB"))
        marked = np.asarray(Image.open(io.BytesIO(dataset.blob(item.mask))).convert("L")) > 127
    except UnidentifiedImageError as error:
        raise ManifestRefused(f"image or mask cannot be read: {error}") from error
    points, pointmap = None, _shaping_point_map(item)
    if pointmap is not None:
        with np.load(io.BytesIO(dataset.blob(pointmap)), allow_pickle=False) as stored:
            points = np.asarray(stored["points"], dtype=np.float32)
        points = resized_points(points, height=colours.shape[0], width=colours.shape[1])
    return condition(colours, marked, points, size=size)


def resized_points(points: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.float32]:
    """The point map at its photograph's size, nearest points picked. Raises ManifestRefused for another shape."""
    if points.ndim != 3 or points.shape[2] != 3:
        raise ManifestRefused(f"a point map is H x W x 3, not {points.shape}")
    rows = ((np.arange(height) + 0.5) * points.shape[0] / height).astype(int)
    cols = ((np.arange(width) + 0.5) * points.shape[1] / width).astype(int)
    resized: NDArray[np.float32] = points[rows[:, None], cols[None]]
    return resized


def _solid(
    dataset: Dataset, latents: str | None, mesh: str | None, vae: SparseStructureVAE
) -> tuple[NDArray[np.bool_], NDArray[np.float64], float]:
    """The solid in the unit cube, and the centre and size that take the cube back to the mesh's own coordinates."""
    side = vae.preset.resolution
    if latents is not None:
        grid = latents_from_bytes(dataset.blob(latents)).occupancy
        if grid.shape != (side,) * 3:
            raise ManifestRefused(f"latents hold a grid of {grid.shape}, this model's is {side}^3")
        return grid, np.zeros(3), 1.0
    if mesh is None:
        raise ManifestRefused("neither latents nor a mesh")
    vertices, faces = mesh_of_glb(dataset.blob(mesh))
    fitted, centre, size = fit_to_cube(vertices)
    return solid_from_mesh(fitted, faces, resolution=side), centre, size


@torch.no_grad()
def _encoded(grid: NDArray[np.bool_], vae: SparseStructureVAE) -> Tensor:
    return vae.encode(torch.from_numpy(grid)[None])[0][0]
