"""What a training run is: one frozen description for every stage (pre-training, SFT, DPO)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

Stage = Literal["pretrain", "sft", "dpo"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Muon (for matrices) with AdamW (for the rest), or AdamW alone; warm-up, constant, then linear or cosine decay."""

    kind: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 6e-4
    weight_decay: float = 0.0
    warmup_steps: int = 10
    decay: Literal["cosine", "linear_tail"] = "cosine"
    tail: float = 0.4  # share of the run that linear_tail decays over
    floor: float = 0.05  # last learning rate, as a share of the first
    clip_norm: float = 1.0
    ema_decay: float = 0.96


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. Same dataset hash, same config: same result on CPU."""

    stage: Stage
    steps: int
    batch_size: int = 16
    draws: int = 1  # noises and times for each photograph of a batch
    seed: int = 0
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    frozen: tuple[str, ...] = ()  # name prefixes of parameters that are not trained
    replay_share: float = 0.5  # sft: share of each batch that is fresh procedural data
    num_replay: int = 256  # sft: how many procedural examples are made for replay
    beta: float = 100.0  # dpo
    max_chosen_rise: float = 0.05  # dpo: stop rule
    time_mean: float = -2.0
    time_std: float = 1.3
    save_every_s: float = 120.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError("steps and batch_size must be at least 1")
        if not 0.0 <= self.replay_share <= 1.0:
            raise ValueError("replay_share must be within 0 and 1")

    def as_dict(self) -> dict[str, object]:
        """For manifests and logs."""
        return asdict(self)


def default_config(stage: Stage, *, steps: int | None = None, seed: int = 0) -> RunConfig:
    """The settings measured for preset tiny (docs/log.md): SFT about 90 steps at 6e-4, DPO about 50 at 1e-4."""
    if stage == "sft":
        optimizer = OptimizerConfig(learning_rate=3e-4, ema_decay=0.96)
        return RunConfig(stage=stage, steps=steps or 90, seed=seed, optimizer=optimizer)
    if stage == "dpo":
        optimizer = OptimizerConfig(learning_rate=1e-4, floor=0.1, ema_decay=0.98)
        return RunConfig(stage=stage, steps=steps or 50, seed=seed, optimizer=optimizer)
    if stage == "pretrain":
        optimizer = OptimizerConfig(
            kind="muon",
            learning_rate=1.2e-3,
            weight_decay=0.01,
            warmup_steps=40,
            decay="linear_tail",
            floor=0.02,
            ema_decay=0.998,
        )
        return RunConfig(
            stage=stage, steps=steps or 8000, batch_size=16, draws=2, seed=seed, optimizer=optimizer
        )
    raise ValueError(f"no stage {stage!r}; there are pretrain, sft and dpo")
