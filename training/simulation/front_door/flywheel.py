"""K rounds of the loop through the front door, from collecting to promoting. Goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.simulation.front_door.engineer import Engineer, Objective
from training.simulation.front_door.hidden import hidden_truths
from training.simulation.front_door.lead import Lead
from training.simulation.front_door.people import STAGES, Annotator, Artist, Gallery, Stage
from training.simulation.front_door.visitor import Visitor

WAIT_S = 1.0
#: Everybody's turn takes at least so long while machines work: asking for what is not there yet costs them their cores.
TURN_S = 3.0
PHOTOGRAPHS_AT_A_TIME = 24  # handed in before the next turn
AT_A_TIME = 4  # tasks that a person does before the next person's turn
PATIENCE_S = 3600.0  # without anything happening
NOBODY_CAN_S = (
    30.0  # without work for the machines: what is left then waits for somebody who is not of this crew
)


#: What of a dataset version an objective passes over.
LEARNS_FROM: dict[Objective, str] = {"sft": "num_demonstrations", "dpo": "num_preference_pairs"}


class PhotographRefused(Exception):
    """The site did not take what the simulation handed in; the text is the site's own."""


@dataclass(frozen=True, kw_only=True)
class FlywheelPlan:
    """What every round does. ``alphas`` is the bar of each round; the last one stays."""

    rounds: int = 5
    targets: int = 300
    seed: int = 0
    num_candidates: int = 8
    alphas: tuple[float, ...] = (0.25, 0.25, 0.375, 0.375, 0.5)
    artists_most: int = 40  # cases that the artist models in a round
    gold: int = 15  # gold tasks of each stage, made of what is known to be true
    sft: dict[str, Any] = field(default_factory=dict)  # settings other than the console's own
    dpo: dict[str, Any] = field(default_factory=dict)
    # Steps hold for the first round; later ones take more with their data: the same passes over what was judged.
    same_passes: bool = False

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.targets < 2:
            raise ValueError("a flywheel needs at least one round and two targets")
        if self.same_passes and not ("steps" in self.sft and "steps" in self.dpo):
            raise ValueError("rounds of the same passes need the steps of SFT and DPO in the first round")

    def alpha(self, number: int) -> float:
        """Of round ``number``, counted from 1."""
        return self.alphas[min(number, len(self.alphas)) - 1]

    def settings(
        self, objective: Objective, *, version: Mapping[str, Any], first: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a run on ``version`` is started with; ``first`` is the first round's version, perhaps the same."""
        chosen = self.sft if objective == "sft" else self.dpo
        if not self.same_passes:
            return dict(chosen)
        what = LEARNS_FROM[objective]
        return chosen | {"steps": max(1, round(chosen["steps"] * version[what] / max(1, first[what])))}


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Everybody at the site: who hands photographs in, who judges, who models, who trains."""

    uploader: Visitor
    annotators: Sequence[Annotator]
    artist: Artist
    engineer: Engineer
    lead: Lead
    gallery: Gallery
    project_id: int
    records: Callable[
        [], list[dict[str, Any]]
    ]  # of each annotator: answers, gold, after how many they were paused


class Flywheel:
    """Turns the rounds of a plan and keeps a record of each as ``round-N.json`` in its folder."""

    def __init__(self, crew: Crew, plan: FlywheelPlan, folder: Path, *, say: Callable[[str], None]) -> None:
        self._crew, self._plan, self._folder, self._say = crew, plan, folder, say
        self._gold: dict[Stage, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def turn_all(self) -> list[dict[str, Any]]:
        """The records of all rounds, those of an earlier call included."""
        base = self._kept(0) or self._keep(0, {"checkpoint": self._crew.engineer.serving()["checkpoint"]})
        records, sft_base = [], base["checkpoint"]
        for number in range(1, self._plan.rounds + 1):
            record = self._kept(number) or self._keep(number, self._turn(number, sft_base=sft_base))
            # SFT goes on from SFT: from DPO's result it would undo what DPO did.
            sft_base = record["sft"]["output_checkpoint"]
            records.append(record)
        return records

    def _turn(self, number: int, *, sft_base: int) -> dict[str, Any]:
        crew, plan = self._crew, self._plan
        started = time.monotonic()
        opened = crew.engineer.round_number(
            number, alpha=plan.alpha(number), num_candidates=plan.num_candidates
        )
        self._say(f"round {number}: {plan.targets} photographs, alpha {opened['alpha']}")
        collected = self._collect(opened["id"], self._hand_in(number))
        self._insist_on_point_maps()
        at_work = time.monotonic()
        version = crew.engineer.freezes()
        self._say(
            f"round {number}: {version['num_demonstrations']} demonstrations, {version['num_preference_pairs']} pairs"
        )
        seed = plan.seed * 1000 + number
        first = (self._kept(1) or {"version": version})["version"]

        def trains(objective: Objective, *, base: int) -> dict[str, Any]:
            chosen = plan.settings(objective, version=version, first=first)
            return crew.engineer.trains(
                objective, version=version["id"], base=base, seed=seed, settings=chosen
            )

        sft = trains("sft", base=sft_base)
        dpo = trains("dpo", base=sft["output_checkpoint"])
        trained = time.monotonic()
        chosen = crew.engineer.better(sft=sft["output_checkpoint"], dpo=dpo["output_checkpoint"])
        promoted = crew.engineer.promotes(chosen)
        return {
            "round": opened["number"],
            "alpha": opened["alpha"],
            "collected": collected,
            "gold": self._gold,
            "people": crew.records(),
            "version": {
                name: version[name] for name in ("id", "num_demonstrations", "num_preference_pairs", "counts")
            },
            "sft": sft,
            "dpo": dpo,
            "evaluation": crew.engineer.checkpoint(dpo["output_checkpoint"])["evaluation"],
            "checkpoint": chosen,
            "promoted": "dpo" if chosen == dpo["output_checkpoint"] else "sft",
            "generation": promoted["generation"],
            "seconds": {"collecting": round(at_work - started, 1), "training": round(trained - at_work, 1)},
        }

    def _hand_in(self, number: int) -> Iterator[bool]:
        """The round's photographs with their point maps, some at each step, which says that there are more; those that
        are there already are known by the site."""
        crew, plan = self._crew, self._plan
        start = (number - 1) * plan.targets
        truths = hidden_truths(seed=plan.seed, start=start, count=plan.targets)
        for handed_in, truth in enumerate(truths, start=1):
            crew.gallery.show(truth)
            crew.uploader.upload(
                f"/projects/{crew.project_id}/images",
                file=(truth.name, truth.photograph(), "image/png"),
                point_map=("points.npz", truth.point_map(), "application/octet-stream"),
                metric="true",
            )
            if handed_in % PHOTOGRAPHS_AT_A_TIME == 0 and handed_in < plan.targets:
                yield True
                self._insist_on_point_maps()

    def _insist_on_point_maps(self) -> None:
        """Of the newest photographs. A site that refuses point maps goes on without, and learns less: not silently."""
        crew = self._crew
        newest = crew.uploader.get(f"/projects/{crew.project_id}/images")["results"]
        for image in newest:
            if image["point_map"]["status"] == "REFUSED":
                raise PhotographRefused(f"{image['name']}: {image['point_map']['detail']}")

    def _collect(self, round_id: int, photographs: Iterator[bool]) -> dict[str, Any]:
        """Everybody works in turn, while photographs come in, until all is judged, placed and, where it was hard,
        modelled; the round's figures."""
        crew, modelled, answers, is_handed_in = self._crew, 0, 0, False
        last = time.monotonic()
        while True:
            turn, is_handed_in = time.monotonic(), is_handed_in or not next(photographs, False)
            waiting = self._waiting()
            now = sum(
                len(person.works(stage, most=AT_A_TIME)) for person in crew.annotators for stage in waiting
            )
            if now and min(self._gold.values(), default=0) < self._plan.gold:
                self._gold = crew.lead.makes_gold(most=self._plan.gold)
            modelled += crew.artist.models_all(most=self._plan.artists_most - modelled)
            answers += now
            told: dict[str, Any] = crew.engineer.visitor.get(f"/rounds/{round_id}")
            left = told["work_left"]
            if now:
                last = time.monotonic()
                self._say(
                    f"{answers} answers; left: {left['tasks']} tasks, {left['jobs']} jobs, {left['cases']} cases"
                )
                if left["jobs"]:
                    time.sleep(max(0.0, turn + TURN_S - time.monotonic()))
                continue
            is_modelled = left["cases"] == 0 or modelled >= self._plan.artists_most
            is_stuck = left["jobs"] == 0 and time.monotonic() - last > NOBODY_CAN_S
            if is_handed_in and is_modelled and left["jobs"] == 0 and (left["tasks"] == 0 or is_stuck):
                return {**told["figures"], "modelled": modelled, "left": left["tasks"]}
            if time.monotonic() - last > PATIENCE_S:
                raise TimeoutError(f"nothing happened for {PATIENCE_S:.0f} s; left: {left}")
            time.sleep(WAIT_S)

    def _waiting(self) -> list[Stage]:
        """The stages where tasks wait: nobody need ask at the others."""
        queues = self._crew.engineer.visitor.get(f"/projects/{self._crew.project_id}")["queues"]
        return [stage for stage in STAGES if queues[stage]["open"]]

    def _kept(self, number: int) -> dict[str, Any] | None:
        path = self._path(number)
        kept: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return kept

    def _keep(self, number: int, record: dict[str, Any]) -> dict[str, Any]:
        draft = self._path(number).with_suffix(".new")
        draft.write_text(json.dumps(record, indent=1) + "\n")
        draft.replace(self._path(number))
        return record

    def _path(self, number: int) -> Path:
        return self._folder / f"round-{number}.json"
