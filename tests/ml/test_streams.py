"""Endless numbered examples: scenes, shards and both give the same example for the same number."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training.data.manifests import ManifestRefused
from training.data.samples import Example, Mixture, make_example
from training.data.shards import ShardRecord, shard_bytes, write_manifest
from training.data.streams import MixedStream, SceneStream, ShardStream

SIDE = 32


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [make_example(stream=5, index=i, mixture=Mixture(), size=SIDE, resolution=SIDE) for i in range(5)]


def _folder(path: Path, examples: list[Example]) -> Path:
    path.mkdir()
    data = shard_bytes(examples, kind="isolated")
    (path / "shard-0.safetensors").write_bytes(data)
    record = ShardRecord(
        file="shard-0.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
        num_bytes=len(data),
        num_examples=len(examples),
        families=dict(Counter(one.family for one in examples)),
        refused={},
    )
    write_manifest(path, {"kind": "iso"}, [record])
    return path


def test_each_round_over_the_shards_gives_every_example_once_in_another_order(
    tmp_path: Path, examples: list[Example]
) -> None:
    folders = [_folder(tmp_path / "a", examples[:3]), _folder(tmp_path / "b", examples[3:])]
    stream = ShardStream(folders, size=SIDE, resolution=SIDE, seed=1)
    told = {one.layout.tobytes(): number for number, one in enumerate(examples)}
    rounds = [[told[stream(turn * 5 + place).layout.tobytes()] for place in range(5)] for turn in range(6)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    again = ShardStream(folders, size=SIDE, resolution=SIDE, seed=1)
    assert np.array_equal(again(7).crop_rgb, stream(7).crop_rgb)


def test_shards_of_another_size_are_refused_with_what_is_needed(
    tmp_path: Path, examples: list[Example]
) -> None:
    folder = _folder(tmp_path / "a", examples)
    with pytest.raises(ManifestRefused, match="needs 64 and 64"):
        ShardStream([folder], size=64, resolution=64, seed=1)


def test_a_mixed_stream_keeps_its_share_and_its_numbers(tmp_path: Path, examples: list[Example]) -> None:
    scenes = SceneStream(stream=6, mixture=Mixture(), size=SIDE, resolution=SIDE)
    shards = ShardStream([_folder(tmp_path / "a", examples)], size=SIDE, resolution=SIDE, seed=1)
    asked: list[str] = []
    mixed = MixedStream(
        first=lambda i: asked.append("scenes") or examples[0],
        second=lambda i: asked.append("shards") or examples[1],
        second_share=0.3,
        seed=2,
    )
    for index in range(1000):
        mixed(index)
    assert 0.25 < asked.count("shards") / 1000 < 0.35
    real = MixedStream(first=scenes, second=shards, second_share=0.5, seed=2)
    assert all(np.array_equal(real(i).crop_rgb, real(i).crop_rgb) for i in range(4))
    with pytest.raises(ValueError, match="within 0 and 1"):
        MixedStream(first=scenes, second=shards, second_share=1.5, seed=2)
