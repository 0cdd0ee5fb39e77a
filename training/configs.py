"""What a training run is: one frozen description, and the table of the recipe's stages, each whole in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from training.data.samples import Mixture
from training.losses.flow_matching import LayoutWeights

Stage = Literal[
    "autoencoder",
    "latent",
    "depth",
    "pretrain",
    "midtrain",
    "layout",
    "sft",
    "dpo",
    "sft_art",
    "dpo_art",
    "distil",
    "texture",
    "texture_sft",
    "texture_dpo",
    "reward",
]
#: ``objects`` and ``scenes`` are procedural; the others are what people judged, frozen in a dataset.
Data = Literal["objects", "scenes", "demonstrations", "artists", "pairs"]
Objective = Literal["reconstruction", "flow", "layout", "preference", "self_consistency", "trajectories"]


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
    """One training run. Same dataset hash, same config: same result on CPU, whether one process trains or several.

    A step's batch comes in ``micro_batches`` equal parts, one after the other or on several processes at once.
    """

    stage: Stage
    # what is trained
    component: Literal["ss_vae", "slat_vae", "depth", "geometry", "texture", "reward"] = "geometry"
    frozen: tuple[str, ...] = ()  # parts of the component that stay as they are (GeometryModel.freeze)
    # on what
    data: Data = "scenes"
    mixture: Mixture = field(
        default_factory=Mixture
    )  # worlds of procedural scenes, also of the replayed ones
    replay_share: float = 0.5  # demonstrations: share of each batch that is procedural
    num_replay: int = 256  # demonstrations: how many procedural examples are made for replay
    num_trajectories: int = 512  # trajectories: so many are recorded of the teacher
    keep_weight: float = 1.0  # trajectories: of staying the teacher's flow when no step size is told
    # by which loss
    objective: Objective = "flow"
    weights: LayoutWeights = field(default_factory=LayoutWeights)  # beside the shape's 1
    draws: int = 1  # noises and times for each photograph, or pair, of a batch
    condition_dropout: float = 0.1
    points_dropout: float = 0.1
    time_mean: float = -2.0
    time_std: float = 1.3
    beta: float = 100.0  # preference
    anchor: float = 0.0  # preference: weight of the chosen half's own flow error
    max_chosen_rise: float = 0.05  # preference: stop rule
    # how
    steps: int
    batch_size: int = 16
    micro_batches: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"  # of matrix products; weights stay float32
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: int = 0
    save_every_s: float = 120.0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.micro_batches, self.draws) < 1:
            raise ValueError("steps, batch_size, micro_batches and draws must be at least 1")
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"a batch of {self.batch_size} has no {self.micro_batches} equal parts: change micro_batches"
            )
        if self.mixture.foreign:
            raise ValueError("the foreign world is never trained on: people alone tell of it")
        for name in ("replay_share", "condition_dropout", "points_dropout"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be within 0 and 1")

    @property
    def micro_batch_size(self) -> int:
        """Examples that a source gives at a time."""
        return self.batch_size // self.micro_batches

    def as_dict(self) -> dict[str, object]:
        """For manifests and logs."""
        return asdict(self)


_LONG = OptimizerConfig(
    kind="muon",
    learning_rate=1.2e-3,
    weight_decay=0.01,
    warmup_steps=40,
    decay="linear_tail",
    floor=0.02,
    ema_decay=0.998,
)
_SFT = OptimizerConfig(learning_rate=1e-4, ema_decay=0.96)  # thrice that undoes a long mid-training
_DPO = OptimizerConfig(learning_rate=1e-4, floor=0.1, ema_decay=0.98)
_LATE = OptimizerConfig(learning_rate=3e-4, ema_decay=0.98)
_FROM_NOTHING = OptimizerConfig(
    learning_rate=2e-3, weight_decay=0.01, warmup_steps=50, floor=0.02, ema_decay=0.0
)

#: Every stage with all that it is, at the settings measured for preset tiny (docs/log.md); what is not said is as in
#: RunConfig. The shifted world is not among the procedural scenes that these render, and the
#: foreign one never may be: they are what people annotate.
STAGES: dict[str, RunConfig] = {
    config.stage: config
    for config in (
        # autoencoders and the depth net, from nothing
        RunConfig(
            stage="autoencoder",
            component="ss_vae",
            data="objects",
            objective="reconstruction",
            steps=1500,
            batch_size=8,
            optimizer=replace(_FROM_NOTHING, warmup_steps=30),
        ),
        RunConfig(
            stage="latent",
            component="slat_vae",
            data="objects",
            objective="reconstruction",
            steps=1500,
            batch_size=6,
            optimizer=_FROM_NOTHING,
        ),
        RunConfig(
            stage="depth",
            component="depth",
            objective="reconstruction",
            steps=1800,
            batch_size=12,
            optimizer=replace(_FROM_NOTHING, ema_decay=0.995),
        ),
        # geometry, from nothing: objects alone, then among others
        RunConfig(
            stage="pretrain",
            mixture=Mixture(isolated=1.0, composited=0.0),
            draws=2,
            steps=8000,
            optimizer=_LONG,
        ),
        RunConfig(
            stage="midtrain",
            mixture=Mixture(isolated=0.25, composited=0.75),
            draws=2,
            steps=8000,
            optimizer=_LONG,
        ),
        # geometry, from what people chose
        RunConfig(
            stage="sft",
            data="demonstrations",
            replay_share=0.5,
            draws=2,
            steps=50,
            optimizer=_SFT,
        ),
        RunConfig(
            stage="dpo",
            data="pairs",
            objective="preference",
            steps=50,
            optimizer=_DPO,
        ),
        RunConfig(
            stage="sft_art",
            data="artists",
            replay_share=0.5,
            draws=2,
            steps=60,
            optimizer=_SFT,
        ),
        RunConfig(
            stage="dpo_art",
            data="pairs",
            objective="preference",
            steps=30,
            optimizer=replace(_DPO, learning_rate=5e-5),
        ),
        # geometry, last: few steps instead of many, and poses with the shapes held still
        RunConfig(
            stage="distil",
            frozen=("condition",),  # trajectories are recorded with its tokens
            objective="trajectories",
            num_trajectories=9216,  # 128 are learned by heart, 1024 in part (docs/log.md)
            keep_weight=0.0,  # a distilled checkpoint is served by its few steps alone
            steps=2200,
            optimizer=OptimizerConfig(kind="muon", learning_rate=1e-3, ema_decay=0.99),
        ),
        RunConfig(
            stage="layout",
            data="demonstrations",
            objective="layout",
            frozen=("shape", "shared", "condition"),
            steps=200,
            optimizer=_LATE,
        ),
        # texture
        RunConfig(
            stage="texture",
            component="texture",
            steps=6000,
            batch_size=6,
            optimizer=replace(_LONG, learning_rate=1.5e-3, warmup_steps=50),
        ),
        RunConfig(
            stage="texture_sft",
            component="texture",
            data="demonstrations",
            steps=90,
            batch_size=6,
            optimizer=replace(_SFT, learning_rate=3e-4),
        ),
        RunConfig(
            stage="texture_dpo",
            component="texture",
            data="pairs",
            objective="preference",
            steps=50,
            batch_size=6,
            optimizer=_DPO,
        ),
        # the learned reward
        RunConfig(
            stage="reward",
            component="reward",
            data="pairs",
            objective="preference",
            steps=300,
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.01),
        ),
    )
}


def default_config(stage: Stage, *, steps: int | None = None, seed: int = 0) -> RunConfig:
    """A stage of the table, shorter or longer where ``steps`` says so. ValueError names the stages that exist."""
    if stage not in STAGES:
        raise ValueError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    config = STAGES[stage]
    return replace(config, steps=steps or config.steps, seed=seed)


def config_from_document(document: Mapping[str, Any]) -> RunConfig:
    """The config that ``as_dict`` described, also after a trip through JSON. ValueError for what is no config."""
    values = dict(document)
    try:
        for name, kind in (("optimizer", OptimizerConfig), ("mixture", Mixture), ("weights", LayoutWeights)):
            if name in values:
                values[name] = kind(**values[name])
        return RunConfig(**{**values, "frozen": tuple(values.get("frozen", ()))})
    except TypeError as error:
        raise ValueError(f"not a run's settings: {error}") from error
