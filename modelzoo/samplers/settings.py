"""How one flow is integrated from noise (t = 0) to data (t = 1): solver, time grid and guidance, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from modelzoo.contracts import SamplerSettings, Solver

MAX_SHORTCUT_STEPS = 128  # shortcut models learn step sizes 1, 1/2, .. 1/128


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """``euler`` and ``midpoint`` integrate the flow itself; ``shortcut`` takes few steps of a distilled model.

    Guidance is (1 + w) cond - w uncond with w = ``cfg_strength`` where ``cfg_interval`` holds t. A shortcut step has
    its guidance trained in and takes none; ``rescale_t`` has to be that of the grid it was distilled on (1 for
    self-consistency), and the steps are a power of two. Raises ValueError for settings that contradict themselves.
    """

    kind: Solver = "euler"
    steps: int
    rescale_t: float = 1.0
    cfg_strength: float = 0.0
    cfg_interval: tuple[float, float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        low, high = self.cfg_interval
        if self.steps < 1 or not self.rescale_t > 0:
            raise ValueError("steps must be at least 1 and rescale_t positive")
        if not self.cfg_strength >= 0 or not low <= high:
            raise ValueError("cfg_strength must not be negative and cfg_interval must run upwards")
        if self.kind == "shortcut":
            if self.cfg_strength != 0:
                raise ValueError("shortcut steps have their guidance trained in: cfg_strength must be 0")
            if self.steps > MAX_SHORTCUT_STEPS or self.steps & (self.steps - 1):
                raise ValueError(f"shortcut takes 1, 2, 4 .. {MAX_SHORTCUT_STEPS} steps, not {self.steps}")

    @property
    def step_size(self) -> float:
        """What the model is told: the shortcut's step before the grid is warped, 0 for the flow itself."""
        return 1.0 / self.steps if self.kind == "shortcut" else 0.0

    def guides(self, t: float) -> bool:
        """Whether the velocity at ``t`` is guided."""
        return self.cfg_strength > 0 and self.cfg_interval[0] <= t <= self.cfg_interval[1]

    @property
    def evaluations(self) -> int:
        """Calls of the model per sample, guided ones counted twice."""
        return sum(2 if self.guides(t) else 1 for t in self.evaluated_times())

    def evaluated_times(self) -> list[float]:
        """Every t at which the solver asks for a velocity, in order."""
        times = self.times()
        if self.kind != "midpoint":
            return times[:-1]
        return [t for start, stop in pairwise(times) for t in (start, (start + stop) / 2)]

    def times(self) -> list[float]:
        """``steps`` + 1 times from 0 to 1, t' = t / (1 + (r - 1)(1 - t)): ``rescale_t`` r > 1 dwells near the noise."""
        even = [step / self.steps for step in range(self.steps + 1)]
        return [t / (1.0 + (self.rescale_t - 1.0) * (1.0 - t)) for t in even]


def geometry_flow(settings: SamplerSettings) -> FlowSettings:
    """How shapes and layouts are drawn."""
    return _flow(
        settings.geometry_solver,
        settings.geometry_steps,
        settings.geometry_rescale_t,
        settings.geometry_cfg_strength,
        settings.geometry_cfg_until,
    )


def texture_flow(settings: SamplerSettings) -> FlowSettings:
    """How structured latents are drawn."""
    return _flow(
        settings.texture_solver,
        settings.texture_steps,
        settings.texture_rescale_t,
        settings.texture_cfg_strength,
        settings.texture_cfg_until,
    )


def _flow(
    kind: Solver,
    steps: int,
    rescale_t: float,
    strength: float,
    until: float,
) -> FlowSettings:
    return FlowSettings(
        kind=kind, steps=steps, rescale_t=rescale_t, cfg_strength=strength, cfg_interval=(0.0, until)
    )
