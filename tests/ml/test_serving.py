"""A checkpoint is swapped in only when it is whole and does what its manifest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from modelzoo import checkpoint
from modelzoo.checkpoint import CheckpointRefused, Lineage
from modelzoo.registry import Models, build
from modelzoo.serving import ModelSlot, golden_outputs

LINEAGE = Lineage(
    objective="pretrain", dataset_hash="0" * 64, command="python -m training.cli", seed=1, steps=0
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _written(
    folder: Path, models: Models, *, golden: dict[str, Any] | None = None
) -> tuple[Path, dict[str, Any]]:
    checkpoint.assemble(
        models.components(),
        folder=folder,
        preset=models.preset.name,
        config=models.preset.to_config(),
        lineage=LINEAGE,
        golden=golden_outputs(models.components(), models.preset.name) if golden is None else golden,
    )
    return folder / checkpoint.WEIGHTS_NAME, json.loads((folder / checkpoint.MANIFEST_NAME).read_bytes())


def _nano(seed: int) -> Models:
    """Untrained models whose outputs still differ by seed: their last layers start at zero, so they are drawn anew."""
    models = build("nano", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in (models.geometry, models.texture):
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    for module in (models.geometry, models.ss_vae, models.slat_vae, models.texture):
        module.eval()
    return models


def test_a_good_checkpoint_serves_and_names_itself(tmp_path: Path) -> None:
    slot = ModelSlot()
    assert slot.current is None
    weights, manifest = _written(tmp_path, _nano(1))
    serving = slot.swap(weights=weights, manifest=manifest, generation=3)
    assert slot.current is serving
    assert (serving.sha256, serving.generation) == (manifest["weights_sha256"], 3)


def test_a_refused_checkpoint_leaves_the_old_one_serving(tmp_path: Path) -> None:
    slot = ModelSlot()
    weights, manifest = _written(tmp_path / "old", _nano(1))
    old = slot.swap(weights=weights, manifest=manifest, generation=1)
    weights, manifest = _written(tmp_path / "new", _nano(2))
    data = bytearray(weights.read_bytes())
    data[-5] ^= 0x10
    weights.write_bytes(data)
    with pytest.raises(CheckpointRefused) as refused:
        slot.swap(weights=weights, manifest=manifest, generation=2)
    assert refused.value.code == "weights_hash_mismatch"
    assert slot.current is old


def test_weights_that_do_not_give_their_golden_outputs_are_refused(tmp_path: Path) -> None:
    weights, manifest = _written(tmp_path, _nano(2), golden=golden_outputs(_nano(1).components(), "nano"))
    with pytest.raises(CheckpointRefused) as refused:
        ModelSlot().swap(weights=weights, manifest=manifest, generation=1)
    assert refused.value.code == "golden_mismatch"


def test_a_checkpoint_without_golden_outputs_is_refused(tmp_path: Path) -> None:
    weights, manifest = _written(tmp_path, _nano(1), golden={})
    with pytest.raises(CheckpointRefused) as refused:
        ModelSlot().swap(weights=weights, manifest=manifest, generation=1)
    assert refused.value.code == "golden_missing"


def test_a_second_swap_changes_sha_and_generation_together(tmp_path: Path) -> None:
    slot = ModelSlot()
    for generation, seed in ((1, 1), (2, 2)):
        weights, manifest = _written(tmp_path / str(seed), _nano(seed))
        serving = slot.swap(weights=weights, manifest=manifest, generation=generation)
        assert slot.current is serving and serving.sha256 == manifest["weights_sha256"]
