"""The state of a run on disk: one complete file at any moment, the same whatever the number of processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.loop.distributed import spread_like, whole

HEAD = "state.json"


@dataclass(frozen=True, kw_only=True)
class RunState:
    """After ``step`` steps: named tensors of the model, its average and its optimizers."""

    step: int
    tensors: dict[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without it."""
        return {name[len(prefix) :]: value for name, value in self.tensors.items() if name.startswith(prefix)}


def read_state(folder: Path) -> RunState | None:
    """The last state that was written whole, if any."""
    if not (folder / HEAD).exists():
        return None
    head = json.loads((folder / HEAD).read_text())
    with safe_open(folder / head["file"], framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return RunState(step=int(head["step"]), tensors=tensors)


def write_state(folder: Path, state: RunState, *, config: Mapping[str, object]) -> None:
    """Write the state beside the old one, then swap; a kill at any moment leaves one of the two."""
    name = f"state-{state.step}.safetensors"
    save_file({key: value.contiguous() for key, value in state.tensors.items()}, folder / name)
    head = folder / f"{HEAD}.new"
    head.write_text(json.dumps({"step": state.step, "file": name, "config": config}))
    head.replace(folder / HEAD)
    for old in folder.glob("state-*.safetensors"):
        if old.name != name:
            old.unlink()


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Every whole tensor of their states, named by optimizer, parameter and what it is; all processes must ask."""
    return {
        f"{number}.{index}.{name}": whole(torch.as_tensor(value)).cpu()
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizers(optimizers: list[torch.optim.Optimizer], stored: Mapping[str, Tensor]) -> None:
    """Put what ``optimizer_tensors`` gave back, each tensor spread as its parameter is; all processes must ask."""
    for number, optimizer in enumerate(optimizers):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key in sorted(stored):
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                value = spread_like(stored[key], parameters[int(index)])
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
