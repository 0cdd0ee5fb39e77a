"""The one loop of every stage: guarded steps, a log line each, atomic state files, bit-equal resume on CPU."""

from __future__ import annotations

import copy
import json
import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Generic, Protocol, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.configs import RunConfig
from training.data.batches import BatchSource
from training.optimizers import learning_rate_share, make_optimizers, update_average

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, dict[str, float]], None]
Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)
Model = TypeVar("Model", bound=nn.Module)
Model_contra = TypeVar("Model_contra", bound=nn.Module, contravariant=True)


class Objective(Protocol[Model_contra, Batch_contra]):
    """Gives the loss of a batch and the numbers to log."""

    def loss(
        self, model: Model_contra, batch: Batch_contra, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]: ...


class NonFiniteLoss(FloatingPointError):
    """A loss or gradient was not finite; the optimizer was not moved."""


@dataclass(frozen=True, kw_only=True)
class LoopResult:
    """How a loop ended: ``reason`` is finished, stopped (signal) or chosen_rise (stop rule)."""

    steps: int
    reason: str
    metrics: dict[str, float]


class TrainingLoop(Generic[Model]):
    """Trains ``model`` in place and keeps its moving average in ``average``; resumes from ``folder`` when it can."""

    def __init__(
        self,
        *,
        config: RunConfig,
        model: Model,
        objective: Objective[Model, Batch],
        source: BatchSource[Batch],
        folder: Path,
        on_progress: Progress | None = None,
        clock_progress: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        self.model = model.train()
        for name, parameter in model.named_parameters():
            if config.frozen and name.startswith(config.frozen):
                parameter.requires_grad_(False)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.objective = objective
        self.source = source
        self.folder = folder
        self.on_progress = on_progress
        self.clock_progress = clock_progress
        self.optimizers = make_optimizers(model, config.optimizer)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.stop_asked = False
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.json").exists():
            self._load()

    def run(self) -> LoopResult:
        """Train until the steps (or the clock) run out, a signal asks to stop, or the stop rule bites."""
        previous = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, self._ask_stop)
        saved, reason, metrics, rises = time.monotonic(), "finished", dict[str, float](), list[float]()
        try:
            with (self.folder / "log.jsonl").open("a") as log:
                while self._progress() < 1.0:
                    metrics = self._one_step()
                    log.write(json.dumps({"step": self.step, **metrics}) + "\n")
                    log.flush()
                    if self.on_progress is not None:
                        self.on_progress(self.step, self.config.steps, metrics)
                    if time.monotonic() - saved > self.config.save_every_s:
                        self.save()
                        saved = time.monotonic()
                    rises = [*rises[-4:], metrics.get("chosen_rise", 0.0)]
                    if len(rises) == 5 and sum(rises) / 5 > self.config.max_chosen_rise:
                        reason = "chosen_rise"
                        break
                    if self.stop_asked:
                        reason = "stopped"
                        break
        finally:
            signal.signal(signal.SIGTERM, previous)
        self.save()
        return LoopResult(steps=self.step, reason=reason, metrics=metrics)

    def save(self) -> None:
        """Write the whole state beside the old one, then swap; a kill at any moment leaves one of the two."""
        tensors: dict[str, Tensor] = {"generator": self.generator.get_state()}
        for name, value in self.model.state_dict().items():
            tensors[f"model.{name}"] = value
        for name, value in self.average.state_dict().items():
            tensors[f"average.{name}"] = value
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"optimizer.{number}.{index}.{name}"] = torch.as_tensor(value)
        names = f"state-{self.step}.safetensors"
        save_file({name: value.contiguous() for name, value in tensors.items()}, self.folder / names)
        head = self.folder / "state.json.new"
        head.write_text(json.dumps({"step": self.step, "file": names, "config": self.config.as_dict()}))
        head.replace(self.folder / "state.json")
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != names:
                old.unlink()

    def _load(self) -> None:
        head = json.loads((self.folder / "state.json").read_text())
        with safe_open(self.folder / head["file"], framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        self.step = int(head["step"])
        self.generator.set_state(tensors.pop("generator"))
        self.model.load_state_dict(_under(tensors, "model."))
        self.average.load_state_dict(_under(tensors, "average."))
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _under(tensors, f"optimizer.{number}.").items():
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )

    def _progress(self) -> float:
        return self.clock_progress() if self.clock_progress is not None else self.step / self.config.steps

    def _one_step(self) -> dict[str, float]:
        settings = self.config.optimizer
        share = learning_rate_share(settings, step=self.step, progress=min(1.0, self._progress()))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * share
            optimizer.zero_grad(set_to_none=True)
        loss, metrics = self.objective.loss(self.model, self.source.batch(self.step), self.generator)
        if not torch.isfinite(loss):
            raise NonFiniteLoss(f"the loss is {loss.item()} at step {self.step}")
        loss.backward()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, settings.clip_norm))
        if not math.isfinite(norm):
            raise NonFiniteLoss(f"the gradient is not finite at step {self.step}")
        for optimizer in self.optimizers:
            optimizer.step()
        update_average(self.average, self.model, decay=settings.ema_decay, step=self.step)
        self.step += 1
        return {
            "loss": loss.item(),
            **metrics,
            "gradient_norm": norm,
            "learning_rate": settings.learning_rate * share,
        }

    def _ask_stop(self, number: int, frame: FrameType | None) -> None:
        logger.info("asked to stop; saving after this step", extra={"signal": number})
        self.stop_asked = True


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
