"""Iso-3DO, FO, OS-R and OS-A: each keeps its rules, its answer explains its picture, and a stopped run goes on."""

from __future__ import annotations

import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelzoo.conditioning import TYPICAL_FOCAL, Normaliser, decode_layout, flat_points, normaliser_of
from modelzoo.contracts import Intrinsics
from modelzoo.exports.glb import glb_from_mesh
from modelzoo.frames import wxyz_from_rotation
from training.data.annotated import AnnotatedTargets
from training.data.composed import Composed, example_of, faced, in_flat_frame
from training.data.composition import insertion_refusal
from training.data.manifests import ManifestRefused
from training.data.objects import make_object, object_field
from training.data.photographs import PhotographsRefused
from training.data.placeable import PlaceableSolid
from training.data.procedural_meshes import object_mesh
from training.data.samples import Example
from training.data.scenes import points_from_depth
from training.data.shards import MANIFEST, ShardSource
from training.data.surfaces import Placement, mesh_surface
from training.data.synthesis import (
    SynthesisFailed,
    SynthesisPlaces,
    SynthesisRefused,
    SynthesisSettings,
    ingredients_of,
    plan_of,
    synthesise,
    synthetic_example,
)
from training.data.synthesis_kinds import Ingredients, SynthesisKind, compose
from training.data.vacated import vacated

NOWHERE = SynthesisPlaces(out=Path("unused"))
POOL = ThreadPoolExecutor(1)


@lru_cache(maxsize=4)
def _ingredients(kind: SynthesisKind) -> Ingredients:
    return ingredients_of(SynthesisSettings(kind=kind, count=1, side=128), NOWHERE, None)


def _composed(kind: SynthesisKind, number: int) -> Composed:
    for attempt in range(200):
        made = compose(kind, number, _ingredients(kind), np.random.default_rng([number, attempt]), seed=1)
        if isinstance(made, Composed):
            return made
    raise AssertionError(f"no {kind} in 200 draws")


def _distance(made: Composed, points: np.ndarray) -> np.ndarray:
    assert isinstance(made.item, PlaceableSolid)
    local = (points - made.at.translation) @ made.at.rotation / made.at.scale
    return np.abs(object_field(made.item.item, local)[0])


@pytest.mark.parametrize("kind", ["iso", "fo", "os-r"])
def test_what_is_seen_of_the_target_lies_on_the_posed_object(kind: SynthesisKind) -> None:
    for number in range(4):
        made = _composed(kind, number)
        own = points_from_depth(np.where(made.mask, made.depth, np.nan).astype(np.float32), made.camera)
        assert _distance(made, own[made.mask]).max() < 2e-3
        if made.points is not None:
            assert np.array_equal(made.points[made.mask], own[made.mask])


def test_the_twenty_four_views_show_one_object_from_all_sides_each_in_its_own_light() -> None:
    views = [_composed("iso", number) for number in range(24, 48)]
    assert len({id(view.item) for view in views}) == 24 and len({view.item.family for view in views}) == 1
    backs = np.stack([-view.at.rotation.T @ view.at.translation for view in views])
    backs /= np.linalg.norm(backs, axis=1, keepdims=True)
    apart = backs @ backs.T - 2 * np.eye(24)
    assert apart.max() < np.cos(np.deg2rad(15))  # no two sides within 15 degrees
    assert (
        np.abs(np.mean(backs[:, :2], axis=0)).max() < 0.1
        and backs[:, 2].min() < -0.2 < 0.8 < backs[:, 2].max()
    )
    assert all(np.allclose(view.at.translation[:2], 0) for view in views)
    solids = [view.item.item.solids.centre for view in views if isinstance(view.item, PlaceableSolid)]
    assert all(np.array_equal(solids[0], other) for other in solids)
    assert len({int(view.image[view.mask].mean() * 1000) for view in views}) == 24


def test_a_third_of_the_occlusion_pairs_show_their_target_whole() -> None:
    whole = []
    for number in range(9):
        made = _composed("fo", number)
        whole.append(bool(made.mask.sum() == np.isfinite(made.depth).sum()))
    assert whole == [True, False, False] * 3


def test_an_occluded_target_shows_as_much_as_is_asked_and_has_no_point_map() -> None:
    for number in (1, 2, 4, 5):
        made = _composed("fo", number)
        share = made.mask.sum() / np.isfinite(made.depth).sum()
        assert 0.1 <= share <= 0.9 and made.mask.mean() >= 0.002 and made.points is None


def test_a_swapped_object_passes_the_insertion_rules_in_the_emptied_photograph() -> None:
    from_ = _ingredients("os-r")
    assert from_.photographs is not None
    for number in range(3):
        made = _composed("os-r", number)
        places = [
            place
            for photograph, mask in from_.photographs.targets
            for zoom in (1.5, 2.2, 3.2, 5.0)
            if not isinstance(place := vacated(from_.photographs, photograph, mask, zoom=zoom, side=128), str)
            and place.camera == made.camera
        ]
        assert any(insertion_refusal(made.depth, place.depth) is None for place in places)
        assert made.points is not None
        outside = made.points[~made.mask]
        assert any(np.array_equal(outside, place.points[~made.mask], equal_nan=True) for place in places)


def _example(kind: SynthesisKind, number: int) -> tuple[Composed, Example]:
    for attempt in range(200):
        rng = np.random.default_rng([number, attempt])
        made = compose(kind, number, _ingredients(kind), rng, seed=1)
        if isinstance(made, Composed):
            example = example_of(made, "composited", rng, size=48, resolution=64)
            if isinstance(example, Example):
                return made, example
    raise AssertionError("no example")


@pytest.mark.parametrize("kind", ["iso", "os-r"])
def test_the_layout_of_an_example_explains_its_points_and_its_shape_is_turned_with_it(
    kind: SynthesisKind,
) -> None:
    for number in range(3):
        made, example = _example(kind, number)
        assert made.points is not None
        rotation, translation, scale = decode_layout(example.layout, Normaliser(shift=np.zeros(3), scale=1.0))
        points = (made.points[made.mask] - example.normaliser.shift) / example.normaliser.scale
        local = (points - translation) @ rotation / scale
        cells = np.clip(np.floor((local + 0.5) * 64).astype(int), 1, 62)
        near = np.zeros(len(cells), bool)
        for step in np.ndindex(3, 3, 3):
            near |= example.occupancy[tuple((cells + np.array(step) - 1).T)]
        assert near.mean() > 0.99
        true = (example.normaliser.scale * translation + example.normaliser.shift) @ rotation
        assert abs(np.degrees(np.arctan2(-true[0], true[1]))) <= 45 + 1e-3


def test_without_a_point_map_the_layout_projects_the_object_where_it_is_seen() -> None:
    made, example = _example("fo", 3)
    assert np.isnan(example.crop_points).all() and example.box[3] == 0
    height, width = made.mask.shape
    told = in_flat_frame(faced(made.at)[0], made)
    typical = TYPICAL_FOCAL * max(height, width)
    flat = typical * told.translation[:2] + np.array([width, height]) / 2  # at distance one
    middle = float(np.median(made.depth[made.mask]))
    seen = made.camera.fx * made.at.translation[:2] / middle + np.array([width, height]) / 2
    assert np.allclose(flat, seen, atol=1e-6)
    again = decode_layout(example.layout, normaliser_of(flat_points(height, width), made.mask))
    assert np.allclose(again[1], told.translation, atol=1e-4) and again[2] == pytest.approx(
        told.scale, rel=1e-4
    )


def test_a_target_that_fills_hardly_any_of_its_crop_makes_no_example() -> None:
    made, _ = _example("iso", 0)
    rng = np.random.default_rng(0)
    thin = np.zeros_like(made.mask)
    thin[np.arange(100), np.arange(100)] = True
    bare = Composed(**{**made.__dict__, "mask": thin})
    assert example_of(bare, "isolated", rng, size=48, resolution=64) == "thin"
    nothing = Composed(**{**made.__dict__, "mask": np.zeros_like(made.mask)})
    assert example_of(nothing, "isolated", rng, size=48, resolution=64) == "hidden"


def _settings(kind: SynthesisKind = "iso", **changes: object) -> SynthesisSettings:
    asked: dict[str, object] = {
        "count": 5,
        "size": 32,
        "resolution": 32,
        "side": 96,
        "shard_size": 2,
        **changes,
    }
    return SynthesisSettings(kind=kind, **asked)  # type: ignore[arg-type]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    digests = [
        synthesise(_settings("fo", seed=seed), SynthesisPlaces(out=tmp_path / name), pool=POOL)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert digests[0] == digests[1] != digests[2]
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    source = ShardSource(tmp_path / "a")
    source.verify()
    assert len(source) == 5 and source.plan["kind"] == "fo" and source.sha256 == digests[0]


class _Killed(Exception):
    """Stands for whatever ends a run from outside."""


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_manifest(tmp_path: Path) -> None:
    whole, stopped = (SynthesisPlaces(out=tmp_path / name) for name in ("whole", "stopped"))
    expected = synthesise(_settings(), whole, pool=POOL)

    def stop(done: int, total: int) -> None:
        if done >= 2:
            raise _Killed

    with ThreadPoolExecutor(1) as pool, pytest.raises(_Killed):
        synthesise(_settings(), stopped, pool=pool, on_progress=stop)
    assert not (stopped.out / MANIFEST).exists() and len(list(stopped.out.glob("shard-*"))) < 3
    (stopped.out / "shard-00001.safetensors").write_bytes(b"half of a shard")
    kept = (stopped.out / "shard-00000.safetensors").stat().st_mtime_ns
    assert synthesise(_settings(), stopped, pool=POOL) == expected
    assert (stopped.out / "shard-00000.safetensors").stat().st_mtime_ns == kept
    assert _files(stopped.out) == _files(whole.out)


def test_one_folder_holds_the_examples_of_one_plan(tmp_path: Path) -> None:
    places = SynthesisPlaces(out=tmp_path)
    synthesise(_settings(count=1), places, pool=POOL)
    with pytest.raises(SynthesisRefused, match="other settings"):
        synthesise(_settings(count=1, seed=9), places, pool=POOL)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "x"}, {"count": 0}, {"seed": -1}, {"max_tilt_deg": 0.0}, {"size": 8}, {"side": 16}],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SynthesisRefused):
        SynthesisSettings(**{"kind": "iso", "count": 1, **changes})  # type: ignore[arg-type]


def test_kinds_say_which_source_they_lack(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "plain.png")
    with pytest.raises(SynthesisRefused, match="annotations"):
        plan_of(_settings("os-a"), NOWHERE, None)
    with pytest.raises(PhotographsRefused, match="masks and point maps"):
        plan_of(_settings("os-r"), SynthesisPlaces(out=tmp_path, photographs=tmp_path), None)
    assert plan_of(_settings("iso"), NOWHERE, None)["photographs"] is None


def _annotated(folder: Path) -> tuple[Placement, np.ndarray]:
    """A frozen dataset version of one demonstration: an object lit from the left on a grey wall; its pose and mask."""
    item = make_object(np.random.default_rng(11))
    mesh = object_mesh(item, resolution=40)
    camera = Intrinsics(fx=150.0, fy=150.0, cx=60.0, cy=50.0, width=120, height=100)
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    at = Placement(rotation=q * np.sign(np.linalg.det(q)), translation=np.array([0.05, 0.02, 2.2]), scale=0.8)
    surface = mesh_surface(mesh, at, camera)
    shade = (0.5 + 0.4 * surface.normal @ np.array([-0.8, -0.4, -0.45]))[..., None]
    lit = (surface.albedo * shade * np.array([1.2, 1.0, 0.7])).clip(0, 1) ** (1 / 1.6)
    image = np.where(surface.mask[..., None], 255 * lit, 120).astype(np.uint8)
    depth = np.where(surface.mask, surface.depth, 3.5).astype(np.float32)
    stored = io.BytesIO()
    np.savez(stored, points=points_from_depth(depth, camera))
    folder.mkdir()
    (folder / "points.npz").write_bytes(stored.getvalue())
    (folder / "mesh.glb").write_bytes(glb_from_mesh(mesh, name="thing"))
    Image.fromarray(image).save(folder / "image.png")
    Image.fromarray(surface.mask.astype(np.uint8) * 255).save(folder / "mask.png")
    row = {
        "kind": "demonstration",
        "id": "1",
        "image": "image.png",
        "mask": "mask.png",
        "pointmap": "points.npz",
        "latents": None,
        "mesh": "mesh.glb",
        "pose": {
            "rotation_wxyz": wxyz_from_rotation(at.rotation),
            "translation": at.translation.tolist(),
            "scale": at.scale,
        },
    }
    (folder / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    return at, image


def test_an_annotated_object_stands_at_its_pose_in_the_light_of_its_photograph(tmp_path: Path) -> None:
    at, image = _annotated(tmp_path / "dataset")
    places = SynthesisPlaces(out=tmp_path / "out", annotations=tmp_path / "dataset")
    from_ = ingredients_of(_settings("os-a"), places, None)
    made = compose(
        "os-a", 3, from_, np.random.default_rng(0), seed=0
    )  # the widest view: the whole photograph
    assert isinstance(made, Composed) and made.points is not None
    assert np.allclose(made.at.rotation, at.rotation, atol=1e-6)
    corner = np.array([0.2, -0.1, 0.3])  # a point of the true object, through the canonical mesh's own frame
    size = made.at.scale / at.scale
    shift = (at.rotation.T @ (made.at.translation - at.translation)) / at.scale
    assert np.allclose(made.at.rotation @ (made.at.scale * (corner - shift) / size) + made.at.translation,
                       at.rotation @ (at.scale * corner) + at.translation)  # fmt: skip
    target = from_.annotated.target(0, zoom=5.0) if from_.annotated else None
    assert (
        target is not None and made.mask[target.mask].mean() > 0.95
    )  # where the real one was seen, so is the mesh
    assert made.mask.sum() > 100 and made.image.shape == (80, 96, 3)
    again = np.asarray(Image.fromarray(image).resize((96, 80), Image.Resampling.BOX)).astype(float)
    difference = (made.image.astype(float) - again)[made.mask].mean(axis=0)
    contrast = np.corrcoef(made.image[made.mask].mean(axis=1), again[made.mask].mean(axis=1))[0, 1]
    assert np.abs(difference).max() < 45 and contrast > 0.9  # the lamp's strength is jittered on purpose
    example, refused = synthetic_example(_settings("os-a", side=96), from_, 0)
    assert example.occupancy.any() and refused == Counter()


def test_annotations_without_mesh_pose_or_blobs_are_refused(tmp_path: Path) -> None:
    _annotated(tmp_path / "dataset")
    targets = AnnotatedTargets(tmp_path / "dataset", side=96)
    (tmp_path / "dataset" / "mesh.glb").unlink()
    with pytest.raises(ManifestRefused, match=r"mesh.glb is missing"):
        targets.target(0, zoom=2.0)
    path = tmp_path / "dataset" / "manifest.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pose": None}) + "\n")
    with pytest.raises(ManifestRefused, match="no demonstration"):
        AnnotatedTargets(tmp_path / "dataset", side=96)


def test_a_place_where_nothing_can_be_put_fails_with_the_reasons(tmp_path: Path) -> None:
    case = tmp_path / "sky"
    case.mkdir()
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(case / "image.png")
    mask = np.zeros((60, 60), np.uint8)
    mask[20:30, 20:30] = 255
    Image.fromarray(mask).save(case / "mask_0.png")
    camera = Intrinsics(fx=60.0, fy=60.0, cx=30.0, cy=30.0, width=60, height=60)
    depth = np.where(mask > 0, 2.0, 9.0).astype(np.float32)  # it floats before a far wall
    np.savez(case / "points.npz", points=points_from_depth(depth, camera))
    places = SynthesisPlaces(out=tmp_path / "out", photographs=tmp_path)
    settings = _settings("os-r", side=60)
    with pytest.raises(SynthesisFailed, match="floating"):
        synthetic_example(settings, ingredients_of(settings, places, None), 0)
