"""Floating-point operations of a call, counted as it runs, and how many a device could do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

#: Dense half-precision operations per second, from the makers' data sheets (tensor cores, no sparsity), by a part of
#: the device's name; the first that fits counts.
PEAKS = (
    ("H200", 989.4e12),
    ("H100 PCIe", 756.5e12),
    ("H100 NVL", 835.5e12),
    ("H100", 989.4e12),
    ("A100", 312.0e12),
    ("L40S", 362.1e12),
    ("4090", 165.2e12),
)


def counted_flops(network: nn.Module, arguments: Sequence[object]) -> int:
    """Multiplications and additions of one eager call in float32: matrix products, convolutions and attention."""
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_ATTENTION_ON_CPU) as counter:
        network(*arguments)
    return int(counter.get_total_flops())


def peak_flops(device: torch.device) -> float | None:
    """Half-precision operations per second of a device that is in the list, or None."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS if part in name), None)


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))


_ATTENTION_ON_CPU = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
