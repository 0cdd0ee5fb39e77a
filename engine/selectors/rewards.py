"""What the rewards of a pre-filter were measured to recover: read from the committed report, never stated here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from engine.models.mix import Reward
from engine.ranking.intervals import Estimate


@dataclass(frozen=True, kw_only=True)
class MeasuredReward:
    """``recovered`` is the share of what the best of ``pool`` is better than the best of ``shown`` drawn blindly."""

    reward: Reward
    recovered: Estimate
    pool: int
    shown: int
    num_targets: int
    checkpoint_sha256: str


def measured_rewards() -> dict[str, MeasuredReward]:
    """By name, those of the rewards on offer that the report measured; none where there is no report."""
    report = settings.REWARD_REPORT
    try:
        return dict(_read(report, report.stat().st_mtime_ns))
    except OSError:
        return {}


@lru_cache(maxsize=4)
def _read(report: Path, _changed: int) -> Mapping[str, MeasuredReward]:
    document: dict[str, Any] = json.loads(report.read_text())
    return {
        reward.value: _measured(reward, document)
        for reward in Reward
        if reward.value in document["prefilter"]
    }


def _measured(reward: Reward, document: Mapping[str, Any]) -> MeasuredReward:
    found = document["prefilter"][reward.value]["recovered"]
    return MeasuredReward(
        reward=reward,
        recovered=Estimate(value=found["mean"], low=found["low"], high=found["high"]),
        pool=document["candidates"]["pool"],
        shown=document["candidates"]["shown"],
        num_targets=document["targets"]["held_out"],
        checkpoint_sha256=document["checkpoint"],
    )
