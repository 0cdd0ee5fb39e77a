"""One measured number beside its budget."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Result:
    """``value`` in ``unit``; ``budget`` is the most it may be, or None for a number that is only worth knowing."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        return "ok" if self.value <= self.budget else "OVER"

    def line(self) -> str:
        budget = "" if self.budget is None else f"<= {self.budget:g}"
        return (
            f"{self.name:<58} {self.value:>10.2f} {self.unit:<8} {budget:<10} {self.verdict:<5} {self.note}"
        )
