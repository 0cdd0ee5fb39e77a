"""Frozen datasets: strict reading, solids of meshes, poses turned to the nearest face."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from modelzoo.conditioning import Normaliser, decode_layout
from modelzoo.frames import glb_from_object, rotation_from_wxyz, wxyz_from_rotation
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.presets import PRESETS
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.manifests import (
    ManifestRefused,
    prepare_demonstration,
    prepare_preference,
    read_dataset,
)
from training.data.solids import solid_from_mesh, turn_matrix, turned, turns_to_nearest_face
from training.data.sources import demonstration_set, preference_source

NANO = PRESETS["nano"].geometry


@pytest.fixture
def vae() -> SparseStructureVAE:
    torch.manual_seed(0)
    return SparseStructureVAE(NANO.structure).eval()


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def _latents(solid: np.ndarray) -> bytes:
    return latents_to_bytes(
        CandidateLatents(
            occupancy=solid, slat_coords=np.zeros((1, 3), np.uint8), slat_feats=np.zeros((1, 4), np.float16)
        )
    )


def _box_glb(size: tuple[float, float, float]) -> bytes:
    box = trimesh.creation.box(extents=size)
    box.vertices = glb_from_object(box.vertices)
    data = box.export(file_type="glb")
    assert isinstance(data, bytes)
    return data


def _write(folder: Path, lines: list[dict[str, Any]]) -> None:
    mask = np.zeros((40, 50), dtype=np.uint8)
    mask[10:30, 10:40] = 255
    points = np.zeros((20, 25, 3), np.float32)
    points[..., :2] = np.stack(np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-1, 1, 20)), axis=-1)
    points[..., 2] = 3.0
    stored = io.BytesIO()
    np.savez(stored, points=points, intrinsics=np.array([20.0, 20, 12.5, 10, 25, 20]))
    solid = np.zeros((32, 32, 32), dtype=np.bool_)
    solid[4:28, 8:20, 4:16] = True
    (folder / "blobs" / "ab").mkdir(parents=True)
    for key, data in {
        "ab/image.png": _png(np.full((40, 50, 3), 90, np.uint8)),
        "ab/mask.png": _png(mask),
        "ab/points.npz": stored.getvalue(),
        "ab/one.safetensors": _latents(solid),
        "ab/other.safetensors": _latents(np.roll(solid, 9, axis=2)),
        "ab/artist.glb": _box_glb((0.9, 0.5, 0.3)),
    }.items():
        (folder / "blobs" / key).write_bytes(data)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _demonstration(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": "demonstration",
        "id": "d1",
        "image": "ab/image.png",
        "mask": "ab/mask.png",
        "pointmap": "ab/points.npz",
        "latents": "ab/one.safetensors",
        "mesh": None,
        "pose": {"rotation_wxyz": [1, 0, 0, 0], "translation": [0, 0, 3], "scale": 1.0, "unit": "pointmap"},
        "rating": 4,
        "source": "candid8",
        "round": 1,
    }
    return {**row, **changes}


def _preference(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": "preference",
        "id": "p1",
        "image": "ab/image.png",
        "mask": "ab/mask.png",
        "pointmap": None,
        "chosen_latents": "ab/one.safetensors",
        "chosen_mesh": None,
        "rejected_latents": "ab/other.safetensors",
        "rejected_mesh": None,
    }
    return {**row, **changes}


def test_a_good_dataset_becomes_batches(tmp_path: Path, vae: SparseStructureVAE) -> None:
    mesh_only = _demonstration(
        id="d2", latents=None, mesh="ab/artist.glb", pose=None, rating=None, round=None
    )
    _write(tmp_path, [_demonstration(), mesh_only, _preference()])
    dataset = read_dataset(tmp_path)
    assert (len(dataset.demonstrations), len(dataset.preferences)) == (2, 1)
    ready = demonstration_set(dataset, vae, size=NANO.image_size)
    assert ready.shape.shape == (2, *NANO.latent_shape)
    assert ready.has_layout.tolist() == [True, False]
    pairs = preference_source(dataset, vae, size=NANO.image_size, batch_size=3, seed=0).batch(0)
    assert not torch.equal(pairs.chosen, pairs.rejected)
    assert not pairs.condition.box[:, 3].any()  # no point map


def test_a_short_run_prepares_only_the_pairs_that_it_draws(tmp_path: Path, vae: SparseStructureVAE) -> None:
    turned = {"chosen_latents": "ab/other.safetensors", "rejected_latents": "ab/one.safetensors"}
    rows = [_preference(id=f"p{number}", **(turned if number % 2 else {})) for number in range(40)]
    _write(tmp_path, rows)
    dataset, asked = read_dataset(tmp_path), {"size": NANO.image_size, "batch_size": 3, "seed": 5}
    whole, short = (preference_source(dataset, vae, **asked, batches=batches) for batches in (None, 2))
    assert len(whole.condition) == 40 and len(short.condition) <= 6
    for step in range(2):
        one, other = whole.batch(step), short.batch(step)
        assert torch.equal(one.chosen, other.chosen) and torch.equal(one.rejected, other.rejected)
    with pytest.raises(AssertionError, match="step 9 were not prepared"):
        short.batch(9)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (_demonstration(kind="guess"), "line 2.*neither demonstration, preference nor held_back"),
        (_demonstration(pointmap_approximate="no"), "line 2.*pointmap_approximate must be true or false"),
        (_demonstration(latents=None), "line 2.*latents or a mesh"),
        (_demonstration(image="../../etc/passwd"), "line 2.*not a blob key"),
        (
            _demonstration(pose={"rotation_wxyz": [1, 0, 0], "translation": [0, 0, 1], "scale": 1}),
            "line 2.*4 numbers",
        ),
        (
            _demonstration(pose={"rotation_wxyz": [1, 0, 0, 0], "translation": [0, 0, 1], "scale": 0}),
            "line 2.*positive",
        ),
        (_preference(rejected_latents=None), "line 2.*rejected half"),
        (_preference(chosen_latents=None), "line 2.*chosen half"),
        (_preference(target=7, rejected_target=8), "line 2.*rejected half answers target 8.*about 7"),
        (_preference(rejected_latents="ab/one.safetensors"), "line 2.*the same candidate"),
    ],
)
def test_a_malformed_line_is_refused_by_its_number(
    tmp_path: Path, line: dict[str, Any], complaint: str
) -> None:
    _write(tmp_path, [_demonstration(), line])
    with pytest.raises(ManifestRefused, match=complaint):
        read_dataset(tmp_path)


def test_a_line_that_is_no_json_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, [_demonstration()])
    with (tmp_path / "manifest.jsonl").open("a") as file:
        file.write("{broken\n")
    with pytest.raises(ManifestRefused, match="line 2"):
        read_dataset(tmp_path)


def test_a_missing_blob_is_refused_by_its_key(tmp_path: Path, vae: SparseStructureVAE) -> None:
    _write(tmp_path, [_demonstration(image="ab/lost.png")])
    with pytest.raises(ManifestRefused, match=r"ab/lost\.png"):
        demonstration_set(read_dataset(tmp_path), vae, size=NANO.image_size)


def test_an_altered_blob_is_refused_by_its_key(tmp_path: Path, vae: SparseStructureVAE) -> None:
    picture = _png(np.full((40, 50, 3), 90, np.uint8))
    key = f"ab/{hashlib.sha256(picture).hexdigest()}.png"
    _write(tmp_path, [_demonstration(image=key)])
    path = tmp_path / "blobs" / key
    path.write_bytes(picture)
    assert len(demonstration_set(read_dataset(tmp_path), vae, size=NANO.image_size)) == 1
    path.write_bytes(_png(np.full((40, 50, 3), 91, np.uint8)))
    with pytest.raises(ManifestRefused, match=f"demonstration d1.*{key} was altered"):
        demonstration_set(read_dataset(tmp_path), vae, size=NANO.image_size)


def test_latents_that_are_none_are_refused_with_their_line_named(
    tmp_path: Path, vae: SparseStructureVAE
) -> None:
    _write(tmp_path, [_preference(rejected_latents="ab/image.png")])
    with pytest.raises(ManifestRefused, match=r"preference p1.*not a candidate's latents"):
        preference_source(read_dataset(tmp_path), vae, size=NANO.image_size, batch_size=1, seed=0)


def test_an_empty_dataset_is_refused(tmp_path: Path, vae: SparseStructureVAE) -> None:
    _write(tmp_path, [])
    empty = read_dataset(tmp_path)
    with pytest.raises(ValueError, match="no demonstrations"):
        demonstration_set(empty, vae, size=NANO.image_size)
    with pytest.raises(ValueError, match="no preference pairs"):
        preference_source(empty, vae, size=NANO.image_size, batch_size=1, seed=0)


def test_a_boxs_mesh_becomes_a_solid_box() -> None:
    box = trimesh.creation.box(extents=(0.7, 0.45, 0.3))
    grid = solid_from_mesh(np.asarray(box.vertices), np.asarray(box.faces), resolution=32)
    low, high = np.argwhere(grid).min(axis=0), np.argwhere(grid).max(axis=0) + 1
    assert grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].all()
    assert np.all(np.abs((high - low) - np.array([0.7, 0.45, 0.3]) * 32) <= 2)


def test_quarter_turns_of_a_grid_are_quarter_turns_of_its_points() -> None:
    grid = np.random.default_rng(0).random((8, 8, 8)) > 0.7
    for turns in range(4):
        centres = (np.argwhere(grid) + 0.5) / 8 - 0.5
        moved = np.rint((centres @ turn_matrix(turns).T + 0.5) * 8 - 0.5).astype(int)
        expected = np.zeros_like(grid)
        expected[tuple(moved.T)] = True
        assert np.array_equal(turned(grid, quarter_turns=turns), expected)


def test_turning_the_object_brings_its_nearest_face_to_the_camera() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        rotation, translation = rotation_from_wxyz(rng.normal(size=4)), np.array([0.1, -0.2, 4.0])
        rotation = rotation @ turn_matrix(turns_to_nearest_face(rotation, translation)).T
        viewer = rotation.T @ -translation
        assert abs(np.degrees(np.arctan2(viewer[0], -viewer[1]))) <= 45.0 + 1e-6


def test_a_turned_demonstration_still_says_the_same_about_the_world(
    tmp_path: Path, vae: SparseStructureVAE
) -> None:
    # The camera looks along +z of its frame; this object shows its +X side, so it must be turned.
    rotation = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    pose = {"rotation_wxyz": list(wxyz_from_rotation(rotation)), "translation": [0.2, 0.1, 3.0], "scale": 1.5}
    _write(tmp_path, [_demonstration(pose=pose)])
    dataset = read_dataset(tmp_path)
    ready = prepare_demonstration(dataset, dataset.demonstrations[0], vae, size=NANO.image_size)
    assert ready.layout is not None
    found, translation, scale = decode_layout(ready.layout, ready.condition.normaliser)
    viewer = found.T @ -translation
    assert abs(np.degrees(np.arctan2(viewer[0], -viewer[1]))) <= 45.0
    assert np.allclose(translation, [0.2, 0.1, 3.0], atol=1e-4) and scale == pytest.approx(1.5, rel=1e-4)
    turns = turns_to_nearest_face(rotation, translation)
    assert turns != 0
    assert np.allclose(found @ turn_matrix(turns), rotation, atol=1e-5)


def test_without_a_point_map_a_pose_is_not_trained_on(tmp_path: Path, vae: SparseStructureVAE) -> None:
    _write(tmp_path, [_demonstration(pointmap=None)])
    dataset = read_dataset(tmp_path)
    assert prepare_demonstration(dataset, dataset.demonstrations[0], vae, size=NANO.image_size).layout is None


def test_an_approximate_point_map_is_withheld_from_the_model_as_when_candidates_are_made(
    tmp_path: Path, vae: SparseStructureVAE
) -> None:
    guessed = {"pointmap": "ab/points.npz", "pointmap_approximate": True}
    lines = [
        _demonstration(pointmap=None),
        _demonstration(**guessed),
        _demonstration(pointmap_approximate=False),
        _preference(),
        _preference(**guessed),
    ]
    _write(tmp_path, lines)
    dataset = read_dataset(tmp_path)
    without, withheld, given = (
        prepare_demonstration(dataset, item, vae, size=NANO.image_size) for item in dataset.demonstrations
    )
    assert np.array_equal(withheld.condition.crop, without.condition.crop)
    assert np.array_equal(withheld.condition.full, without.condition.full)
    assert withheld.layout is None and torch.equal(withheld.latent, given.latent)
    assert not np.array_equal(given.condition.crop, without.condition.crop) and given.layout is not None
    bare, pair = (
        prepare_preference(dataset, item, vae, size=NANO.image_size)[0] for item in dataset.preferences
    )
    assert np.array_equal(pair.condition.crop, bare.condition.crop)


def test_the_identity_normaliser_is_the_camera_frame() -> None:
    layout = np.array([1, 0, 0, 0, 1, 0, 1, 2, 3, 0, 0, 0, 0], np.float32)
    rotation, translation, scale = decode_layout(layout, Normaliser(shift=np.zeros(3), scale=1.0))
    assert np.array_equal(rotation, np.eye(3)) and translation.tolist() == [1, 2, 3] and scale == 1.0
