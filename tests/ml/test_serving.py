"""A checkpoint is swapped in only when it is whole and does what its manifest says."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelzoo import checkpoint
from modelzoo.checkpoint import CheckpointRefused, Lineage, StateDict
from modelzoo.memory import peak_memory
from modelzoo.pipeline import CandidatePipeline
from modelzoo.registry import Models, build, load_models, preset_config
from modelzoo.serving import ModelSlot, golden_outputs, golden_request
from modelzoo.stages import FLOWS, Memory, Offloaded, OnDemand, Precision, Resident

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
        config=preset_config(models.preset),
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


def test_the_weights_that_served_before_are_freed(tmp_path: Path) -> None:
    slot = ModelSlot()
    weights, manifest = _written(tmp_path / "1", _nano(1))
    old = weakref.ref(slot.swap(weights=weights, manifest=manifest, generation=1).pipeline.models.geometry)
    weights, manifest = _written(tmp_path / "2", _nano(2))
    slot.swap(weights=weights, manifest=manifest, generation=2)
    gc.collect()
    assert old() is None


def _spoilt(folder: Path, components: dict[str, StateDict], *, preset: str = "nano") -> tuple[Path, Any]:
    """A checkpoint whose hashes are right and whose contents are not."""
    checkpoint.assemble(
        components,
        folder=folder,
        preset=preset,
        config=preset_config(build("nano").preset),
        lineage=LINEAGE,
        golden={"shape": [0.0]},
    )
    return folder / checkpoint.WEIGHTS_NAME, json.loads((folder / checkpoint.MANIFEST_NAME).read_bytes())


@pytest.mark.parametrize("memory", ["resident", "offloaded", "on_demand"])
def test_a_missing_tensor_another_preset_and_a_flipped_byte_are_refused_by_name(
    tmp_path: Path, memory: Memory
) -> None:
    components = _nano(1).components()
    without = {name: dict(state) for name, state in components.items()}
    del without["texture"]["from_latent.bias"]
    flipped, manifest = _spoilt(tmp_path / "flipped", components)
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    cases = {
        "weights_do_not_fit": _spoilt(tmp_path / "missing", without),
        "config_mismatch": _spoilt(tmp_path / "other", components, preset="tiny"),
        "preset_unknown": _spoilt(tmp_path / "unknown", components, preset="huge"),
        "weights_hash_mismatch": (flipped, manifest),
        "weights_missing": (tmp_path / "nowhere.safetensors", manifest),
    }
    for code, (weights, document) in cases.items():
        with pytest.raises(CheckpointRefused) as refused:
            ModelSlot(memory=memory).swap(weights=weights, manifest=document, generation=1)
        assert refused.value.code == code


def test_low_memory_modes_make_the_same_candidates_and_hold_no_weights_between_stages(
    tmp_path: Path,
) -> None:
    weights, document = _written(tmp_path, _nano(1), golden={"shape": [0.0]})
    manifest, models = load_models(tmp_path)
    assert document["weights_sha256"] == manifest.sha256
    resident = CandidatePipeline(Resident(models)).generate(golden_request())
    assert CandidatePipeline(Offloaded(models)).generate(golden_request()) == resident
    on_demand = OnDemand(weights, manifest)
    assert CandidatePipeline(on_demand).generate(golden_request()) == resident
    held = [p for module in on_demand.models.modules().values() for p in module.parameters()]
    assert held and all(p.is_meta for p in held)


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_half_precision_velocities_agree_with_full_ones(precision: Precision, tolerance: float) -> None:
    models = _nano(1)
    model, generator = models.geometry, torch.Generator().manual_seed(0)
    size = model.preset.image_size
    crop, full = torch.randn(2, 2, 8, size, size, generator=generator)
    shape = torch.randn(2, *model.preset.latent_shape, generator=generator)
    layout = torch.randn(2, 13, generator=generator)

    def velocities(stages: Resident) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad(), stages.using("geometry"):
            tokens = model.encode(crop, full, torch.zeros(2, 4))
            found: tuple[torch.Tensor, torch.Tensor] = model(shape, layout, torch.tensor([0.2, 0.7]), tokens)
        return found

    exact = velocities(Resident(models))
    for half, whole in zip(velocities(Resident(models, precision=precision)), exact, strict=True):
        error = float((half.float() - whole).norm() / whole.norm())
        assert 0 < error < tolerance


def test_only_flows_are_computed_in_half_precision() -> None:
    stages = Resident(_nano(1), precision="bfloat16")
    for name in stages.models.modules():
        with stages.using(name):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert (product.dtype == torch.bfloat16) == (name in FLOWS)


def test_a_checkpoint_serves_in_half_precision_once_its_golden_outputs_are_met_in_full(
    tmp_path: Path,
) -> None:
    weights, manifest = _written(tmp_path, _nano(1))
    slot = ModelSlot(precision="bfloat16", memory="on_demand")
    assert slot.swap(weights=weights, manifest=manifest, generation=1).pipeline.stages.precision == "bfloat16"


def test_the_peak_of_a_block_counts_what_it_held() -> None:
    cpu = torch.device("cpu")
    with peak_memory(cpu) as little:
        pass
    with peak_memory(cpu) as much:
        assert np.ones(2**27, np.uint8).sum() == 2**27
    assert little.bytes > 0 and much.bytes - little.bytes > 0.8 * 2**27


def test_every_batch_reports_its_peak_memory(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="modelzoo.pipeline"):
        CandidatePipeline(Resident(_nano(1))).generate(golden_request())
    [record] = [one for one in caplog.records if one.name == "modelzoo.pipeline"]
    assert record.__dict__["peak_bytes"] > 2**20 and record.__dict__["preset"] == "nano"
