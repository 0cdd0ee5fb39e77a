"""The ML engineer of a simulation: opens rounds, freezes, trains, promotes; each by the verb that a script has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from training.simulation.front_door.visitor import Visitor

LOOK_EVERY_S = 1.0
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})

#: What decides between a run's result and what the run began from.
DECIDES = "f_score_at_0.05"

Say = Callable[[str], None]
Objective = Literal["sft", "dpo"]


def is_shown_worse(compared: Mapping[str, Any]) -> bool:
    """Whether the whole interval of a difference lies on its bad side: a difference within it may be chance."""
    if compared["higher_is_better"]:
        return bool(compared["high"] < 0)
    return bool(compared["low"] > 0)


class RunFailed(Exception):
    """A training run of the simulation ended without a checkpoint; the text is the run's own."""


class Engineer:
    """Speaks for one account with the role ML engineer in the project."""

    def __init__(self, visitor: Visitor, *, project_id: int, say: Say = lambda text: None) -> None:
        self.visitor, self._project, self._say = visitor, project_id, say

    def round_number(self, number: int, *, alpha: float, num_candidates: int) -> dict[str, Any]:
        """The project's round of that number, open: closes the one before it and opens it unless it is open already."""
        newest = self.visitor.get(f"/projects/{self._project}/rounds")["results"][:1]
        for one in newest:
            if one["number"] == number and one["status"] == "OPEN" and one["alpha"] == alpha:
                return dict(one)
            if one["status"] == "OPEN":
                self.visitor.post(f"/rounds/{one['id']}/close")
        wanted = {"alpha": alpha, "num_candidates": num_candidates}
        opened: dict[str, Any] = self.visitor.post(f"/projects/{self._project}/rounds", wanted)
        return opened

    def freezes(self) -> dict[str, Any]:
        """D+ and pairs of all judgements so far, under the newest round's bar."""
        version: dict[str, Any] = self.visitor.post(f"/projects/{self._project}/dataset-versions")
        return version

    def trains(
        self,
        objective: Objective,
        *,
        version: int,
        base: int,
        seed: int,
        settings: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The run when it has SUCCEEDED; raises RunFailed with the site's reason when it did not."""
        wanted = {
            "dataset_version": version,
            "objective": objective,
            "base_checkpoint": base,
            "seed": seed,
            "settings": dict(settings),
        }
        number = self.visitor.post(f"/projects/{self._project}/runs", wanted)["id"]
        phase = ""
        while True:
            run: dict[str, Any] = self.visitor.get(f"/runs/{number}")["run"]
            if run["phase"] != phase:
                phase = run["phase"]
                self._say(f"{objective} run {number}: {phase or run['status']}")
            if run["status"] in ENDED:
                break
            time.sleep(LOOK_EVERY_S)
        if run["status"] != "SUCCEEDED":
            raise RunFailed(f"{objective} run {number} ended {run['status']}: {run['detail']}")
        return run

    def checkpoint(self, number: int) -> dict[str, Any]:
        """One checkpoint with its evaluation."""
        found = self.visitor.get("/checkpoints")["results"]
        return next(one for one in found if one["id"] == number)

    def better(self, *, sft: int, dpo: int) -> int:
        """The one of a round's two to promote: DPO's result, unless its evaluation shows it below its SFT base."""
        compared = self.checkpoint(dpo)["evaluation"]["metrics"][DECIDES]
        return sft if is_shown_worse(compared) else dpo

    def serving(self) -> dict[str, Any]:
        """The deployment that serves."""
        rows = self.visitor.get(f"/projects/{self._project}/deployments")["results"]
        return next(row for row in rows if row["status"] == "SERVING")

    def promotes(self, checkpoint: int) -> dict[str, Any]:
        """Makes it serve; workers swap at their next job."""
        deployed: dict[str, Any] = self.visitor.post(
            f"/projects/{self._project}/deployments", {"checkpoint": checkpoint}
        )
        return deployed
