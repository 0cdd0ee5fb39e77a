"""Two processes, started by torchrun on the CPU, do what one does: losses, weights, averages, optimizer states."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from modelzoo.checkpoint import load
from tests.ml.nano_parent import nano_parent
from training.configs import OptimizerConfig, RunConfig
from training.loop.distributed import Strategy
from training.loop.launch import RunFailed, run_on_processes
from training.runs import RunStopped, run_training
from training.simulation.rounds import write_simulated_dataset

#: ddp has to be equal bit for bit. fsdp rounds otherwise: it sums the gradient's norm share by share, and the bfloat16
#: products of Muon too, which moves its step by about a hundredth.
LOSS_TOLERANCE = 1e-5  # relative
CHANGE_TOLERANCE = 3e-2  # of all that training changed, as a root mean square

OPTIMIZER = OptimizerConfig(kind="muon", learning_rate=1e-3, warmup_steps=2)
CONFIG = RunConfig(
    stage="sft",
    data="demonstrations",
    steps=3,
    batch_size=4,
    micro_batches=2,
    replay_share=0.0,
    optimizer=OPTIMIZER,
)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nano_parent(tmp_path_factory.mktemp("parent"), stirred=False)


@pytest.fixture(scope="module")
def dataset(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_simulated_dataset(parent, folder, num_targets=3, alpha=-1.0, seed=0)
    return folder


@pytest.fixture(scope="module")
def alone(parent: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Work folders of one process that computed both micro-batches itself: after one step, and at its end."""
    half, whole = tmp_path_factory.mktemp("half"), tmp_path_factory.mktemp("whole")

    def stop_at_one(step: int, total: int, metrics: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(RunStopped):
        run_training(
            CONFIG,
            workdir=half,
            checkpoint_dir=parent,
            manifest_dir=dataset,
            on_progress=stop_at_one,
        )
    shutil.copytree(half, whole, dirs_exist_ok=True)
    run_training(CONFIG, workdir=whole, checkpoint_dir=parent, manifest_dir=dataset)
    return half, whole


def _log(workdir: Path) -> list[dict[str, float]]:
    lines = (workdir / "state" / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _state(workdir: Path) -> dict[str, Tensor]:
    head = json.loads((workdir / "state" / "state.json").read_text())
    return load_file(workdir / "state" / head["file"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_take_up_the_run_of_one_and_end_with_its_losses_and_state(
    parent: Path, dataset: Path, alone: tuple[Path, Path], tmp_path: Path, strategy: Strategy
) -> None:
    half, whole = alone
    shutil.copytree(half, tmp_path, dirs_exist_ok=True)
    seen: list[int] = []
    result = run_on_processes(
        CONFIG,
        count=2,
        device="cpu",
        strategy=strategy,
        workdir=tmp_path,
        checkpoint_dir=parent,
        manifest_dir=dataset,
        on_progress=lambda step, total, metrics: seen.append(step),
    )
    assert (result.reason, seen) == ("finished", [2, 3])
    for mine, theirs in zip(_log(tmp_path), _log(whole), strict=True):
        assert mine == pytest.approx(theirs, rel=LOSS_TOLERANCE, abs=1e-6)
    together, single, start = _state(tmp_path), _state(whole), load(parent)[1]["geometry"]
    assert together.keys() == single.keys()
    if strategy == "ddp":
        assert all(torch.equal(together[name], value) for name, value in single.items())
    for part in ("model.", "average."):
        apart = sum(float((together[part + name] - single[part + name]).square().sum()) for name in start)
        changed = sum(float((value - single[part + name]).square().sum()) for name, value in start.items())
        assert apart <= CHANGE_TOLERANCE**2 * changed
    for name in single:
        if name.startswith("optimizer."):
            torch.testing.assert_close(together[name], single[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_signal_makes_all_processes_save_the_same_step_and_end(
    parent: Path, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunStopped):
        run_on_processes(
            replace(CONFIG, steps=100_000),
            count=2,
            device="cpu",
            strategy="ddp",
            workdir=tmp_path,
            checkpoint_dir=parent,
            manifest_dir=dataset,
            on_progress=lambda step, total, metrics: os.kill(os.getpid(), signal.SIGTERM),
        )
    saved = json.loads((tmp_path / "state" / "state.json").read_text())["step"]
    assert saved == _log(tmp_path)[-1]["step"] < 100_000


@pytest.mark.slow
def test_what_a_process_refuses_is_told_to_whoever_started_it(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(RunFailed, match="ValueError: the dataset has no demonstrations"):
        run_on_processes(
            CONFIG,
            count=1,
            device="cpu",
            strategy="ddp",
            workdir=tmp_path / "work",
            checkpoint_dir=parent,
            manifest_dir=tmp_path,
        )
