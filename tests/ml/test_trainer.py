"""The training loop: learning, guards, and resume that is equal bit for bit."""

from __future__ import annotations

import copy
import math
import os
import signal
from pathlib import Path

import pytest
import torch

from modelzoo.models.geometry import GeometryModel
from modelzoo.presets import PRESETS
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.configs import OptimizerConfig, RunConfig, default_config
from training.data.batches import PreferenceBatch
from training.data.samples import Mixture
from training.data.sources import DemonstrationSet, MixedSource, PreferenceSource, procedural_set
from training.loop.optimizers import learning_rate_share
from training.objectives.flow_matching import FlowMatchingObjective
from training.objectives.preference import PreferenceObjective
from training.trainer import NonFiniteLoss, TrainingLoop

NANO = PRESETS["nano"].geometry


@pytest.fixture(scope="module")
def vae() -> SparseStructureVAE:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return SparseStructureVAE(NANO.structure).eval()


@pytest.fixture(scope="module")
def examples(vae: SparseStructureVAE) -> DemonstrationSet:
    return procedural_set(
        vae,
        size=NANO.image_size,
        count=8,
        stream=11,
        mixture=Mixture(isolated=1.0, composited=0.0, shifted=0.0),
    )


def _model(examples: DemonstrationSet) -> GeometryModel:
    torch.manual_seed(2)
    model = GeometryModel(NANO)
    model.shape_mean.copy_(examples.shape.mean((0, 2, 3, 4)).view(-1, 1, 1, 1))
    model.shape_std.copy_(examples.shape.std((0, 2, 3, 4)).view(-1, 1, 1, 1))
    return model


def _loop(
    examples: DemonstrationSet, folder: Path, *, steps: int, kind: str = "muon", micro_batches: int = 1
) -> TrainingLoop[GeometryModel]:
    optimizer = OptimizerConfig(kind=kind, learning_rate=4e-3, warmup_steps=3)  # type: ignore[arg-type]
    config = RunConfig(
        stage="sft", steps=steps, batch_size=8, micro_batches=micro_batches, optimizer=optimizer
    )
    return TrainingLoop(
        config=config,
        model=_model(examples),
        objective=FlowMatchingObjective(condition_dropout=0.0, points_dropout=0.0),
        source=MixedSource(examples, None, batch_size=config.micro_batch_size, replay_share=0.0, seed=0),
        folder=folder,
    )


def test_the_loss_falls_on_a_batch_that_can_be_memorised(examples: DemonstrationSet, tmp_path: Path) -> None:
    loop = _loop(examples, tmp_path, steps=80)
    before = _fixed_loss(loop, examples)
    result = loop.run()
    assert (result.reason, result.steps) == ("finished", 80)
    assert _fixed_loss(loop, examples) < 0.85 * before


def _fixed_loss(loop: TrainingLoop[GeometryModel], examples: DemonstrationSet) -> float:
    """The shape loss with the same noise and times each time it is asked."""
    generator, batch = torch.Generator().manual_seed(9), examples.rows(torch.arange(len(examples)))
    objective = FlowMatchingObjective(condition_dropout=0.0, points_dropout=0.0)
    with torch.no_grad():
        return sum(objective.loss(loop.model, batch, generator)[1]["shape"] for _ in range(8))


@pytest.mark.parametrize(("kind", "micro_batches"), [("muon", 1), ("adamw", 2)])
def test_six_steps_equal_three_then_resume_then_three_bit_for_bit(
    examples: DemonstrationSet, tmp_path: Path, kind: str, micro_batches: int
) -> None:
    def loop(folder: str) -> TrainingLoop[GeometryModel]:
        return _loop(examples, tmp_path / folder, steps=6, kind=kind, micro_batches=micro_batches)

    whole = loop("whole")
    whole.run()
    first = loop("parts")
    first.on_progress = lambda step, total, metrics: (
        os.kill(os.getpid(), signal.SIGTERM) if step == 3 else None
    )
    assert first.run().reason == "stopped"
    second = loop("parts")
    assert second.step == 3
    assert second.run().reason == "finished"
    for mine, theirs in ((whole.model, second.model), (whole.average, second.average)):
        for (name, a), (_, b) in zip(mine.state_dict().items(), theirs.state_dict().items(), strict=True):
            assert torch.equal(a, b), name


def test_a_loss_that_is_not_finite_stops_before_the_optimizer_moves(
    examples: DemonstrationSet, tmp_path: Path
) -> None:
    broken = copy.deepcopy(examples)
    broken.shape.fill_(math.nan)
    loop = _loop(broken, tmp_path, steps=5)
    loop.model.shape_mean.zero_()
    loop.model.shape_std.fill_(1.0)
    before = [p.detach().clone() for p in loop.model.parameters()]
    with pytest.raises(NonFiniteLoss):
        loop.run()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))


def test_frozen_parameters_stay_as_they_are(examples: DemonstrationSet, tmp_path: Path) -> None:
    model = _model(examples)
    model.freeze("condition", "shape")
    loop = TrainingLoop(
        config=RunConfig(stage="sft", steps=2, batch_size=4),
        model=model,
        objective=FlowMatchingObjective(),
        source=MixedSource(examples, None, batch_size=4, replay_share=0.0, seed=0),
        folder=tmp_path,
    )
    before = copy.deepcopy(loop.model.state_dict())
    loop.run()
    changed = {
        name for name, value in loop.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed and not any(
        name.startswith(("encoder.", "shape_")) or ".shape." in name for name in changed
    )


def test_examples_without_a_pose_train_no_layout(examples: DemonstrationSet) -> None:
    model = _model(examples)
    torch.nn.init.normal_(model.shape_out.weight, std=0.1)
    batch = examples.rows(torch.arange(4))
    batch.has_layout.fill_(False)
    loss, metrics = FlowMatchingObjective().loss(model, batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert metrics["layout"] == 0.0
    assert all(p.grad is None or float(p.grad.abs().max()) == 0.0 for p in model.part("layout"))


def _pairs(examples: DemonstrationSet) -> PreferenceSource:
    return PreferenceSource(examples.condition, examples.shape, examples.shape.flip(2), batch_size=8, seed=0)


def test_dpo_starts_at_ln_2_and_learns_to_prefer_the_chosen(
    examples: DemonstrationSet, tmp_path: Path
) -> None:
    reference = _model(examples).eval().requires_grad_(False)
    seen: list[dict[str, float]] = []
    loop = TrainingLoop(
        config=RunConfig(
            stage="dpo",
            steps=25,
            batch_size=8,
            optimizer=OptimizerConfig(learning_rate=2e-3),
            max_chosen_rise=9.0,
        ),
        model=copy.deepcopy(reference).requires_grad_(True),
        objective=PreferenceObjective(reference=reference, beta=20.0),
        source=_pairs(examples),
        folder=tmp_path,
        on_progress=lambda step, total, metrics: seen.append(metrics),
    )
    loop.run()
    assert seen[0]["loss"] == pytest.approx(math.log(2.0), abs=1e-5)
    assert sum(row["loss"] for row in seen[-5:]) / 5 < math.log(2.0)
    assert sum(row["implicit_accuracy"] for row in seen[-5:]) / 5 > 0.55


def test_dpo_of_a_swapped_pair_pulls_the_other_way(examples: DemonstrationSet) -> None:
    reference = _model(examples)
    torch.nn.init.normal_(reference.shape_out.weight, std=0.05)
    reference.eval().requires_grad_(False)
    policy = copy.deepcopy(reference).requires_grad_(True)
    batch = _pairs(examples).batch(0)
    swapped = PreferenceBatch(condition=batch.condition, chosen=batch.rejected, rejected=batch.chosen)
    gradients = []
    for pairs in (batch, swapped):
        objective = PreferenceObjective(reference=reference, beta=20.0)
        loss, _ = objective.loss(policy, pairs, torch.Generator().manual_seed(3))
        gradients.append(torch.autograd.grad(loss, policy.shape_out.weight)[0])
    torch.testing.assert_close(gradients[0], -gradients[1], rtol=1e-3, atol=1e-5)


def test_the_stop_rule_ends_a_run_whose_chosen_loss_rises(examples: DemonstrationSet, tmp_path: Path) -> None:
    reference = _model(examples).eval().requires_grad_(False)
    loop = TrainingLoop(
        config=RunConfig(stage="dpo", steps=50, batch_size=8, max_chosen_rise=-1.0),
        model=copy.deepcopy(reference).requires_grad_(True),
        objective=PreferenceObjective(reference=reference),
        source=_pairs(examples),
        folder=tmp_path,
    )
    result = loop.run()
    assert (result.reason, result.steps) == ("chosen_rise", 5)


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    config = default_config("pretrain").optimizer
    assert learning_rate_share(config, step=0, progress=0.0) == pytest.approx(1 / 40)
    assert learning_rate_share(config, step=500, progress=0.5) == pytest.approx(1.0)
    assert learning_rate_share(config, step=900, progress=1.0) == pytest.approx(config.floor)
