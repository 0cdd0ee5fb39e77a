"""What a run shows while it goes on: a progress bar or printed lines, and an event file for TensorBoard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.trainer import Progress

SHOWN = ("loss", "gradient_norm")  # beside the bar


def shown_on(stream: TextIO, *, every: int) -> Progress:
    """A bar where ``stream`` is a terminal, otherwise a line of JSON every so many steps."""
    return ProgressBar(stream) if stream.isatty() else PrintedLines(stream, every=every)


def both(first: Progress, second: Progress) -> Progress:
    """Tell one after the other."""

    def tell(step: int, total: int, metrics: dict[str, float]) -> None:
        first(step, total, metrics)
        second(step, total, metrics)

    return tell


class ProgressBar:
    """Steps done, time left and the last numbers, on one line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.bar: tqdm[None] | None = None

    def __call__(self, step: int, total: int, metrics: dict[str, float]) -> None:
        if self.bar is None:
            self.bar = tqdm(total=total, initial=step - 1, file=self.stream, unit="step", leave=True)
        numbers = {name: f"{metrics[name]:.4g}" for name in SHOWN if name in metrics}
        self.bar.set_postfix(numbers, refresh=False)
        self.bar.update(step - self.bar.n)
        if step >= total:
            self.bar.close()


class PrintedLines:
    """A line of JSON with the processor time so far."""

    def __init__(self, stream: TextIO, *, every: int) -> None:
        self.stream, self.every = stream, every
        self.started = time.process_time()

    def __call__(self, step: int, total: int, metrics: dict[str, float]) -> None:
        if step % self.every == 0 or step == total:
            spent = round(time.process_time() - self.started, 1)
            self.stream.write(json.dumps({"step": step, "cpu_s": spent, **metrics}) + "\n")
            self.stream.flush()


class TensorBoardLog:
    """An event file in ``folder``, one scalar a number; a resumed run hides what it does again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def __call__(self, step: int, total: int, metrics: dict[str, float]) -> None:
        if self.writer is None:
            self.writer = SummaryWriter(str(self.folder), purge_step=step)
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)
        if step >= total:
            self.writer.close()
