"""Checkpoints are read back exactly and refused when a single byte differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modelzoo import checkpoint
from modelzoo.checkpoint import CheckpointRefused, Lineage

LINEAGE = Lineage(
    objective="pretrain", dataset_hash="0" * 64, command="python -m training.cli", seed=1, steps=2
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(5)
    components = {
        "geometry": {"layer.weight": torch.randn(3, 4, generator=generator), "count": torch.tensor([7])},
        "texture": {"layer.weight": torch.randn(2, generator=generator)},
    }
    checkpoint.assemble(
        components, folder=tmp_path, preset="nano", config={"width": 4}, lineage=LINEAGE, parent=None
    )
    return tmp_path


def test_a_checkpoint_reads_back_as_it_was_saved_in_half_precision(folder: Path) -> None:
    manifest, components = checkpoint.load(folder)
    assert (manifest.preset, manifest.config, manifest.lineage) == ("nano", {"width": 4}, LINEAGE)
    assert manifest.components == ("geometry", "texture")
    expected = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
    assert torch.equal(components["geometry"]["layer.weight"], expected.half().float())
    assert components["geometry"]["count"].tolist() == [7]


def test_saving_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    manifest, components = checkpoint.load(folder)
    again = checkpoint.assemble(
        components, folder=tmp_path / "again", preset="nano", config={"width": 4}, lineage=LINEAGE
    )
    assert again == manifest


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS_NAME, checkpoint.MANIFEST_NAME])
@pytest.mark.parametrize("place", [0.0, 0.1, 0.35, 0.6, 0.85, 1.0])
def test_one_flipped_byte_refuses_a_checkpoint(folder: Path, name: str, place: float) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 0x01
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointRefused):
        checkpoint.verify(folder)


def test_a_missing_file_and_another_checkpoint_are_refused_by_code(folder: Path) -> None:
    with pytest.raises(CheckpointRefused) as refused:
        checkpoint.verify(folder, expected_sha256="f" * 64)
    assert refused.value.code == "not_the_expected_checkpoint"
    (folder / checkpoint.WEIGHTS_NAME).unlink()
    with pytest.raises(CheckpointRefused) as refused:
        checkpoint.verify(folder)
    assert refused.value.code == "weights_missing"


def test_a_pickle_in_place_of_the_weights_is_refused_even_with_a_fitting_hash(tmp_path: Path) -> None:
    torch.save({"geometry.a": torch.zeros(1)}, tmp_path / "pickled.pt")
    data = (tmp_path / "pickled.pt").read_bytes()
    manifest = checkpoint.Manifest(
        preset="nano",
        config={},
        weights_sha256=checkpoint.hashlib.sha256(data).hexdigest(),
        components=("geometry",),
        lineage=LINEAGE,
    )
    with pytest.raises(CheckpointRefused) as refused:
        checkpoint.components_from_bytes(data, manifest)
    assert refused.value.code == "weights_unreadable"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff\xfe", b'{"format": "other/1"}', b'{"format": "candid8-checkpoint/1"}']
)
def test_a_malformed_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointRefused):
        checkpoint.manifest_from_bytes(data)


def test_a_number_beyond_half_precision_is_not_saved_silently(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fp16"):
        checkpoint.weights_to_bytes({"geometry": {"w": torch.tensor([1e6])}})
