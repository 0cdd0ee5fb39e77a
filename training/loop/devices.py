"""Puts batches on the device that trains, and makes that device the one where losses draw their random numbers."""

from __future__ import annotations

import contextlib
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

Held = TypeVar("Held")


def moved(held: Held, device: torch.device) -> Held:
    """``held`` with every tensor in it, however deep in dataclasses, on ``device``; arrays stay where they are."""
    if isinstance(held, Tensor):
        return held.to(device, non_blocking=True)  # type: ignore[return-value]
    if not is_dataclass(held) or isinstance(held, type) or device.type == "cpu":
        return held
    changes = {field.name: moved(getattr(held, field.name), device) for field in fields(held) if field.init}
    return replace(held, **changes)


def working_on(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Tensors made without naming a device are made there, so that one loss serves all devices."""
    return contextlib.nullcontext() if device.type == "cpu" else device
