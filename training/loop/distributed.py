"""Several processes as one trainer, started by torchrun: who computes which part of a step, and keeps which weights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
import torch.distributed as processes
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

Strategy = Literal["ddp", "fsdp"]
Said = TypeVar("Said")


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes of one run, this one being number ``rank``; one process is a team of its own.

    Under ``ddp`` each keeps all weights, gradients and optimizer states, under ``fsdp`` (FSDP2) its share of each:
    whole weights are then there from a step's forward to the end of its backward only.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    strategy: Strategy = "ddp"
    parent: int | None = None  # the process that watches over this one, and without which nobody would end it

    @property
    def abandoned(self) -> bool:
        """Whether torchrun is gone, so that this process should save and end too."""
        return self.parent is not None and os.getppid() != self.parent

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def parts(self, count: int) -> range:
        """Which of ``count`` equal parts of a step this process computes. ValueError when they cannot be shared."""
        if count % self.size:
            raise ValueError(
                f"{count} micro-batches cannot be shared by {self.size} processes: make them a multiple of it"
            )
        return range(self.rank, count, self.size)

    def gather(self, said: Said) -> list[Said]:
        """What every process says, in the order of their ranks; all must call it."""
        if self.size == 1:
            return [said]
        heard: list[Said] = [said] * self.size
        processes.all_gather_object(heard, said)
        return heard

    def shard(self, module: nn.Module) -> None:
        """Under fsdp, keep only this process's share of the parameters, in place."""
        if self.size > 1 and self.strategy == "fsdp":
            fully_shard(module, mesh=init_device_mesh(self.device.type, (self.size,)))

    def joined(self, module: nn.Module) -> nn.Module:
        """``module`` so that a backward through its forward averages gradients over the processes."""
        if self.size == 1:
            return module
        if self.strategy == "fsdp":
            self.shard(module)
            return module
        return DistributedDataParallel(
            module,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            broadcast_buffers=False,
            find_unused_parameters=True,  # a preference run, for one, leaves the layout's heads aside
        )


@contextlib.contextmanager
def team_from(environment: Mapping[str, str], *, device: str, strategy: Strategy) -> Iterator[Team]:
    """The team that torchrun's variables in ``environment`` describe, joined for the time of the context.

    ``device`` is "cpu" or "cuda"; each process takes the CUDA device of its local rank.
    """
    size = int(environment.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=torch.device(device))
        return
    own = torch.device("cpu")
    if device == "cuda":
        own = torch.device("cuda", int(environment["LOCAL_RANK"]))
        torch.cuda.set_device(own)
    processes.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield Team(
            rank=int(environment["RANK"]), size=size, device=own, strategy=strategy, parent=os.getppid()
        )
    finally:
        processes.destroy_process_group()


@contextlib.contextmanager
def gradients_kept(module: nn.Module, *, until_last: bool) -> Iterator[None]:
    """Add up gradients in this process alone, for all micro-batches but the last one of a step."""
    if isinstance(module, DistributedDataParallel) and until_last:
        with module.no_sync():
            yield
        return
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(not until_last)
    yield


def whole(value: Tensor) -> Tensor:
    """The full tensor behind a share of it, for files; all processes must ask."""
    full: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return full.detach()


def spread_like(value: Tensor, parameter: Tensor) -> Tensor:
    """``value`` spread as the parameter is, where it has its shape; all processes must ask."""
    if isinstance(parameter, DTensor) and value.shape == parameter.shape:
        spread: Tensor = distribute_tensor(value, parameter.device_mesh, parameter.placements)
        return spread
    return value
