"""What the loop promises whatever it trains, on a model of a few numbers: equal parts, guards, states, precision."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modelzoo.models.cells import CellBatch
from training.configs import OptimizerConfig, RunConfig, config_from_document, default_config
from training.loop.devices import moved
from training.loop.distributed import Team
from training.trainer import LossModule, NonFiniteLoss, TrainingLoop

CONFIG = RunConfig(
    stage="sft", steps=6, batch_size=8, optimizer=OptimizerConfig(learning_rate=0.05), save_every_s=-1.0
)


@dataclass(frozen=True, kw_only=True)
class Points:
    """Inputs (B x 3) and what they should give (B x 2)."""

    given: Tensor
    wanted: Tensor


class PointSource:
    """Points that follow from their number; those of ``spoilt`` micro-batches are not numbers."""

    def __init__(self, size: int, *, spoilt: frozenset[int] = frozenset()) -> None:
        self.size, self.spoilt = size, spoilt

    def batch(self, step: int) -> Points:
        rows = torch.arange(step * self.size, (step + 1) * self.size, dtype=torch.float32)
        given = torch.stack([rows.sin(), rows.cos(), (2 * rows).sin()], dim=1)
        wanted = given[:, :2] * 3 + 1
        return Points(given=given, wanted=wanted * math.nan if step in self.spoilt else wanted)


class SquaredError:
    """Draws nothing, so that parts of a batch and the whole batch have the same gradients."""

    def loss(
        self, model: nn.Module, batch: Points, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        error = (model(batch.given) - batch.wanted).square().mean()
        return error, {"first": error.item()}


class RootOfZero(SquaredError):
    """A finite loss whose gradient is not."""

    def loss(
        self, model: nn.Module, batch: Points, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return (model[1].bias * 0).abs().sqrt().sum() + model(batch.given).mean(), {}  # type: ignore[index]


def _loop(
    folder: Path,
    config: RunConfig = CONFIG,
    *,
    objective: SquaredError | None = None,
    spoilt: frozenset[int] = frozenset(),
) -> TrainingLoop[nn.Sequential]:
    torch.manual_seed(4)
    return TrainingLoop(
        config=config,
        model=nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
        objective=objective or SquaredError(),
        source=PointSource(config.micro_batch_size, spoilt=spoilt),
        folder=folder,
    )


def test_micro_batches_give_the_losses_and_weights_of_whole_batches(tmp_path: Path) -> None:
    whole, parts = _loop(tmp_path / "whole"), _loop(tmp_path / "parts", replace(CONFIG, micro_batches=4))
    whole.run()
    parts.run()
    for mine, theirs in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert [row["step"] for row in logs[0]] == [1, 2, 3, 4, 5, 6]
    for one, other in zip(*logs, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_each_micro_batch_and_each_seed_draw_noise_of_their_own(tmp_path: Path) -> None:
    drawn: list[float] = []

    class Noting(SquaredError):
        def loss(
            self, model: nn.Module, batch: Points, generator: torch.Generator
        ) -> tuple[Tensor, dict[str, float]]:
            drawn.append(float(torch.rand(1, generator=generator)))
            return super().loss(model, batch, generator)

    for seed in (0, 1):
        config = replace(CONFIG, micro_batches=2, steps=2, seed=seed)
        _loop(tmp_path / str(seed), config, objective=Noting()).run()
    assert len(set(drawn)) == 8


def test_a_loss_that_is_not_finite_names_step_and_terms_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    broken = _loop(tmp_path, spoilt=frozenset({3}))
    with pytest.raises(NonFiniteLoss, match=r"step 3: the loss is not finite \(loss nan, first nan\)"):
        broken.run()
    healed = _loop(tmp_path)
    assert healed.step == 3
    assert all(bool(torch.isfinite(value).all()) for value in healed.model.state_dict().values())
    assert healed.run().reason == "finished"


def test_one_spoilt_micro_batch_among_good_ones_stops_the_step(tmp_path: Path) -> None:
    config = replace(CONFIG, micro_batches=4)
    loop = _loop(tmp_path, config, spoilt=frozenset({2}))
    before = [parameter.detach().clone() for parameter in loop.model.parameters()]
    with pytest.raises(NonFiniteLoss, match="step 0"):
        loop.run()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_names_its_parameters(tmp_path: Path) -> None:
    loop = _loop(tmp_path, objective=RootOfZero())
    with pytest.raises(NonFiniteLoss, match=r"step 0: the gradient of 1\.bias is not finite"):
        loop.run()


def test_bfloat16_rounds_products_and_keeps_weights_whole(tmp_path: Path) -> None:
    config = replace(CONFIG, precision="bfloat16")
    loop = _loop(tmp_path, config)
    seen: list[torch.dtype] = []
    loop.model[0].register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    loop.run()
    assert set(seen) == {torch.bfloat16}
    state = [*loop.model.parameters(), *loop.average.parameters()]
    assert {value.dtype for value in state} == {torch.float32}


def test_in_bfloat16_a_look_without_gradients_beforehand_changes_no_gradient() -> None:
    class LooksFirst(SquaredError):
        def loss(
            self, model: nn.Module, batch: Points, generator: torch.Generator
        ) -> tuple[Tensor, dict[str, float]]:
            with torch.no_grad():
                model(batch.given)
            return super().loss(model, batch, generator)

    model, batch = nn.Linear(3, 2), PointSource(8).batch(0)
    gradients = []
    for objective in (SquaredError(), LooksFirst()):
        loss, _ = LossModule(model, objective, "bfloat16")(batch, torch.Generator())
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_parts_of_a_step_are_shared_out_whole() -> None:
    teams = [Team(rank=rank, size=2) for rank in (0, 1)]
    assert [list(team.parts(4)) for team in teams] == [[0, 2], [1, 3]]
    with pytest.raises(ValueError, match="3 micro-batches cannot be shared by 2 processes"):
        teams[0].parts(3)
    with pytest.raises(ValueError, match="a batch of 8 has no 3 equal parts"):
        replace(CONFIG, micro_batches=3)


def test_a_batch_moves_to_a_device_with_all_that_is_in_it() -> None:
    cells = CellBatch(
        coords=torch.zeros(2, 3, dtype=torch.long), batch=torch.zeros(2, dtype=torch.long), size=1, grid=4
    )

    @dataclass(frozen=True, kw_only=True)
    class Packed:
        cells: CellBatch
        points: Points
        name: str

    held = Packed(cells=cells, points=PointSource(2).batch(0), name="one")
    there = moved(held, torch.device("meta"))
    assert {there.cells.coords.device.type, there.points.given.device.type} == {"meta"}
    assert (there.name, there.cells.grid) == ("one", 4)
    assert moved(held, torch.device("cpu")) is held


def test_settings_survive_a_trip_through_json_and_strange_ones_are_refused() -> None:
    config = default_config("layout", steps=7, seed=3)
    assert config_from_document(json.loads(json.dumps(config.as_dict()))) == config
    with pytest.raises(ValueError, match="lerning_rate"):
        config_from_document({"stage": "sft", "steps": 3, "lerning_rate": 1.0})
    with pytest.raises(ValueError, match="no stage 'sleep'"):
        default_config("sleep")  # type: ignore[arg-type]
