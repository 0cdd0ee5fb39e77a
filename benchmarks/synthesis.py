"""Synthesis of training examples: examples per second of one core, by kind and by object, and milliseconds a step."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.result import Result
from modelzoo.contracts import Intrinsics
from modelzoo.frames import wxyz_from_rotation
from training.data.lighting import lit_by_lamp, random_light
from training.data.mesh_folder import MeshFolder, PreparedMesh, prepare_folder
from training.data.objects import make_object
from training.data.procedural_meshes import object_mesh, write_object
from training.data.samples import HELD_OUT_STREAM, Mixture, make_example
from training.data.scenes import points_from_depth
from training.data.surfaces import Placement, mesh_surface
from training.data.synthesis import SynthesisPlaces, SynthesisSettings, ingredients_of, synthetic_example
from training.data.synthesis_kinds import KINDS, SynthesisKind
from training.data.views import facing

EXAMPLES = 24
NUM_MESHES = 8
DRAWINGS = 40
VIEWED_ALONG = np.array([0.36, 0.8, -0.48])


def measure(*, seed: int) -> list[Result]:
    """Processor time of this thread, first calls (compilation, reading) left out."""
    with TemporaryDirectory(prefix="candid8-synthesis-") as folder:
        place = Path(folder)
        (place / "meshes").mkdir()
        for index in range(NUM_MESHES):
            write_object(place / "meshes", seed=seed, index=index)
        start = time.process_time()
        meshes = prepare_folder(place / "meshes", place / "prepared")
        prepared_s = (time.process_time() - start) / NUM_MESHES
        _write_annotation(place / "annotations", seed=seed)
        places = SynthesisPlaces(out=place, prepared=place / "prepared", annotations=place / "annotations")
        results = [_rate(kind, places, None, seed=seed) for kind in KINDS if kind != "os-a"]
        results += [_rate(kind, places, meshes, seed=seed) for kind in KINDS]
        results += [_ray_cast_rate(seed=seed), *_renderer(meshes.mesh(0))]
        results.append(
            Result(name="synthesis: preparing a mesh of a folder", value=1000 * prepared_s, unit="ms")
        )
    return results


def _rate(kind: SynthesisKind, places: SynthesisPlaces, meshes: MeshFolder | None, *, seed: int) -> Result:
    share = 1.0 if meshes is None else 0.0
    settings = SynthesisSettings(kind=kind, count=EXAMPLES, seed=seed, procedural=share)
    ingredients = ingredients_of(settings, places, meshes)
    for index in range(EXAMPLES, EXAMPLES + 8):
        synthetic_example(settings, ingredients, index)
    start = time.process_time()
    refused = sum(
        (synthetic_example(settings, ingredients, index)[1].total() for index in range(EXAMPLES)), start=0
    )
    spent = time.process_time() - start
    objects = "procedural objects" if meshes is None else "meshes"
    note = f"{1000 * spent / EXAMPLES:.0f} ms each, {refused / EXAMPLES:.1f} draws refused for each"
    return Result(
        name=f"synthesis: {kind} examples of {objects}, one core",
        value=EXAMPLES / spent,
        unit="1/s",
        note=note,
    )


def _ray_cast_rate(*, seed: int) -> Result:
    """The procedural worlds that pre-training streams, beside which the above is to be read."""
    mixture = Mixture()
    make_example(stream=HELD_OUT_STREAM, index=EXAMPLES, mixture=mixture)
    start = time.process_time()
    for index in range(EXAMPLES):
        make_example(stream=HELD_OUT_STREAM + seed, index=index, mixture=mixture)
    spent = time.process_time() - start
    return Result(name="synthesis: ray-cast procedural worlds, one core", value=EXAMPLES / spent, unit="1/s")


def _renderer(item: PreparedMesh) -> list[Result]:
    results = []
    at = Placement(rotation=np.eye(3), translation=np.array([0.0, 0.0, 1.9]), scale=1.0)
    for side in (128, 256):
        camera = Intrinsics(fx=1.4 * side, fy=1.4 * side, cx=side / 2, cy=side / 2, width=side, height=side)
        mesh_surface(item.mesh, at, camera)
        start = time.process_time()
        for _ in range(DRAWINGS):
            mesh_surface(item.mesh, at, camera)
        spent = (time.process_time() - start) / DRAWINGS
        note = f"{len(item.mesh.faces):,} triangles; albedo, normals, depth; {1 / spent:.0f} a second"
        results.append(
            Result(
                name=f"synthesis: drawing a mesh, {side} x {side}", value=1000 * spent, unit="ms", note=note
            )
        )
    return results


def _write_annotation(folder: Path, *, seed: int) -> None:
    """A dataset version of one demonstration: an object and its pose in a plain picture with exact points."""
    folder.mkdir()
    glb = write_object(folder, seed=seed, index=0)
    mesh = object_mesh(make_object(np.random.default_rng([seed, 0])))
    camera = Intrinsics(fx=640.0, fy=640.0, cx=256.0, cy=192.0, width=512, height=384)
    at = Placement(rotation=facing(VIEWED_ALONG), translation=np.array([0.1, 0.05, 2.4]), scale=1.0)
    surface = mesh_surface(mesh, at, camera)
    lit = 255 * lit_by_lamp(surface, random_light(np.random.default_rng(seed)))
    Image.fromarray(np.where(surface.mask[..., None], lit, 110).astype(np.uint8)).save(folder / "image.png")
    Image.fromarray(surface.mask.astype(np.uint8) * 255).save(folder / "mask.png")
    points = points_from_depth(np.where(surface.mask, surface.depth, 4.0).astype(np.float32), camera)
    np.savez(folder / "points.npz", points=points)
    row = {
        "kind": "demonstration",
        "id": "1",
        "image": "image.png",
        "mask": "mask.png",
        "pointmap": "points.npz",
        "latents": None,
        "mesh": glb.name,
        "pose": {
            "rotation_wxyz": wxyz_from_rotation(at.rotation),
            "translation": at.translation.tolist(),
            "scale": at.scale,
        },
    }
    (folder / "manifest.jsonl").write_text(json.dumps(row) + "\n")
