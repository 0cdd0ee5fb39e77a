"""Shards of examples: what is written is read, and what is missing or altered is refused by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from training.data.batches import demonstration_batch
from training.data.manifests import ManifestRefused
from training.data.samples import Example, Mixture, make_example
from training.data.shards import (
    MANIFEST,
    ShardRecord,
    ShardSource,
    is_whole,
    shard_bytes,
    summed,
    write_manifest,
)
from training.data.synthesis_sheet import write_sheet

PER_SHARD = 3


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [make_example(stream=5, index=i, mixture=Mixture(), size=32, resolution=32) for i in range(5)]


@pytest.fixture
def folder(examples: list[Example], tmp_path: Path) -> Path:
    records = []
    for first in range(0, len(examples), PER_SHARD):
        part = examples[first : first + PER_SHARD]
        data, name = shard_bytes(part, kind="isolated"), f"shard-{first}.safetensors"
        (tmp_path / name).write_bytes(data)
        records.append(
            ShardRecord(
                file=name,
                sha256=hashlib.sha256(data).hexdigest(),
                num_bytes=len(data),
                num_examples=len(part),
                families={one.family: 1 for one in part},
                refused={"hidden": first},
            )
        )
    write_manifest(tmp_path, {"kind": "iso"}, records)
    return tmp_path


def test_examples_come_back_as_they_went_in_with_points_in_half_precision(
    folder: Path, examples: list[Example]
) -> None:
    source = ShardSource(folder)
    assert len(source) == len(examples)
    for number in (4, 0, 2, 3):
        found, given = source.example(number), examples[number]
        assert found.family == given.family
        for name in ("crop_rgb", "full_rgb", "crop_mask", "full_mask", "box", "layout", "occupancy"):
            one, other = getattr(found, name), getattr(given, name)
            assert one.dtype == other.dtype and np.array_equal(one, other), name
        for name in ("crop_points", "full_points"):
            one, other = getattr(found, name), getattr(given, name)
            assert one.dtype == other.dtype and np.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)
        assert found.normaliser.scale == given.normaliser.scale
        assert np.array_equal(found.normaliser.shift, given.normaliser.shift)


def test_read_examples_make_a_batch_as_fresh_ones_do(folder: Path) -> None:
    source = ShardSource(folder)
    names = ("crop_rgb", "crop_mask", "crop_points", "full_rgb", "full_mask", "full_points", "box", "layout")
    read = [source.example(number) for number in range(2)]
    rows = {name: np.stack([getattr(one, name) for one in read]) for name in names}
    batch = demonstration_batch({**rows, "latent": np.zeros((2, 4, 4, 4, 4), np.float32)})
    assert batch.condition.crop.shape == (2, 8, 32, 32) and bool(batch.condition.crop.isfinite().all())


def test_the_same_examples_make_the_same_bytes(examples: list[Example]) -> None:
    assert shard_bytes(examples, kind="isolated") == shard_bytes(list(examples), kind="isolated")
    assert shard_bytes(examples, kind="isolated") != shard_bytes(examples[::-1], kind="isolated")
    with pytest.raises(ValueError, match="needs an example"):
        shard_bytes([], kind="isolated")


def test_a_missing_or_shortened_shard_is_refused_at_once(folder: Path) -> None:
    path = folder / "shard-3.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(ManifestRefused, match=r"shard-3.safetensors has another length"):
        ShardSource(folder)
    path.unlink()
    with pytest.raises(ManifestRefused, match=r"shard-3.safetensors is missing"):
        ShardSource(folder)


def test_one_altered_byte_refuses_its_shard_and_leaves_the_others(folder: Path) -> None:
    path = folder / "shard-3.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    source = ShardSource(folder)
    assert source.example(0).family
    with pytest.raises(ManifestRefused, match=r"shard-3.safetensors was altered"):
        source.example(3)
    with pytest.raises(ManifestRefused, match="altered"):
        source.verify()
    assert [is_whole(folder, record) for record in source.records] == [True, False]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda body: {**body, "version": 2}, "version"),
        (lambda body: {"version": 1}, "cannot be read"),
        (lambda body: {**body, "shards": 3}, "not what they should be"),
        (lambda body: {**body, "shards": [{"file": "x"}]}, "not a shard's"),
        (lambda body: {**body, "shards": [{**body["shards"][0], "file": "../x"}]}, "makes no sense"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(folder: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    body = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(spoil(body)))
    with pytest.raises(ManifestRefused, match=message):
        ShardSource(folder)


def test_no_manifest_and_no_json_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestRefused, match="missing"):
        ShardSource(tmp_path / "absent")
    (folder / MANIFEST).write_bytes(b"{")
    with pytest.raises(ManifestRefused, match="cannot be read"):
        ShardSource(folder)


def test_numbers_beyond_the_last_example_are_refused(folder: Path) -> None:
    with pytest.raises(IndexError):
        ShardSource(folder).example(5)


def test_the_manifest_adds_up_what_its_shards_say(folder: Path) -> None:
    body = json.loads((folder / MANIFEST).read_text())
    assert body["num_examples"] == 5 and body["refused"] == {"hidden": 3}
    assert sum(body["families"].values()) >= 2
    assert summed([{"b": 1}, {"a": 2, "b": 3}]) == {"a": 2, "b": 4}


def test_a_sheet_shows_examples_of_every_folder_or_says_that_there_are_too_few(
    folder: Path, tmp_path: Path
) -> None:
    sources = [ShardSource(folder)] * 2
    write_sheet(tmp_path / "sheet.jpg", sources, columns=2)
    assert (tmp_path / "sheet.jpg").stat().st_size > 2_000
    with pytest.raises(ValueError, match="not 4 examples"):
        write_sheet(tmp_path / "sheet.jpg", sources, columns=4, first=2)
