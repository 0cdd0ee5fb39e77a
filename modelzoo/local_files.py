"""Requests from files on disk, and candidates to files on disk: for the command line and for notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from modelzoo.contracts import CandidateRequest, GeneratedCandidate, RequestRefused, SamplerSettings
from modelzoo.depth_files import read_point_map
from modelzoo.exports.gaussian_ply import ply_from_gaussians
from modelzoo.exports.spz import spz_from_gaussians
from modelzoo.scenes import SceneObject, scene_gaussians, scene_glb

MASK_LEVEL = 128  # of 255, from which on a pixel of a mask file is marked
CONVENTIONS = (
    "x_camera = R(rotation_wxyz) (scale x_object) + translation; object frame: unit cube, Z-up (as the splat file); "
    "camera frame: OpenCV, x right, y down, z forward; the GLB file is Y-up: x_object = (X, -Z, Y)"
)


def request_from_files(
    image: Path,
    mask: Path,
    *,
    seeds: Iterable[int],
    points: Path | None = None,
    form: Mapping[str, str] | None = None,
    settings: SamplerSettings | None = None,
) -> CandidateRequest:
    """A photograph, a mask of its size (light or opaque pixels are the object) and, if given, a point map's file.

    ``form`` says how to read that file: fx, fy, cx, cy in pixels and what else modelzoo.depth_files knows.

    Raises RequestRefused for what cannot be used and ValueError for a file that cannot be read.
    """
    photograph = np.asarray(_opened(image).convert("RGB"))
    found = None
    if points is not None:
        found = read_point_map(
            _bytes(points),
            filename=points.name,
            form=form or {},
            width=photograph.shape[1],
            height=photograph.shape[0],
        )
    return CandidateRequest(
        image=photograph,
        mask=_mask(_opened(mask)),
        seeds=tuple(seeds),
        points=None if found is None else found.points,
        unit="pointmap" if found is None else found.unit,
        approximate=found is not None and found.approximate,
        settings=settings or SamplerSettings(),
    )


def write_candidate(candidate: GeneratedCandidate, folder: Path) -> tuple[Path, Path, Path]:
    """``candidate-SEED``.glb (mesh), .ply (Gaussians) and .json (pose and how it was made), in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    mesh, splat, pose = (
        folder / f"candidate-{candidate.seed}{suffix}" for suffix in (".glb", ".ply", ".json")
    )
    mesh.write_bytes(candidate.mesh_glb)
    splat.write_bytes(candidate.splat_ply)
    stated = {
        "seed": candidate.seed,
        "pose": asdict(candidate.pose),
        "conventions": CONVENTIONS,
        "mesh": mesh.name,
        "splat": splat.name,
        "settings": asdict(candidate.settings),
        "fallbacks": list(candidate.fallbacks),
    }
    pose.write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")
    return mesh, splat, pose


def write_scene(objects: Sequence[SceneObject], folder: Path) -> tuple[Path, Path, Path]:
    """``scene``.glb, .ply and .spz: all objects in the camera frame of their photograph, in that order.

    Raises ValueError when the objects' poses are in different units.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gaussians = scene_gaussians(objects)
    written = {
        ".glb": scene_glb(objects),
        ".ply": ply_from_gaussians(gaussians),
        ".spz": spz_from_gaussians(gaussians),
    }
    for suffix, data in written.items():
        (folder / f"scene{suffix}").write_bytes(data)
    mesh, splat, compressed = (folder / f"scene{suffix}" for suffix in written)
    return mesh, splat, compressed


def _opened(path: Path) -> Image.Image:
    """The picture as it is to be looked at. Raises ValueError naming the file."""
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(file)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RequestRefused("file_unreadable", f"{path} cannot be read as a picture: {error}") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestRefused("file_unreadable", f"{path} cannot be read: {error.strerror}") from error


def _mask(picture: Image.Image) -> NDArray[np.bool_]:
    """The alpha channel where there is one that says something, else the brightness."""
    if "A" in picture.getbands():
        alpha = np.asarray(picture.getchannel("A"))
        if alpha.min() < MASK_LEVEL:
            return np.asarray(alpha >= MASK_LEVEL)
    return np.asarray(np.asarray(picture.convert("L")) >= MASK_LEVEL)
