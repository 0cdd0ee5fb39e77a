"""``manage.py simulate``: simulated people turn whole rounds of this site through its front door."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from engine.selectors import deployments
from training.reports.flywheel import CONTROL, score_row, write_report
from training.simulation.front_door.engineer import RunFailed
from training.simulation.front_door.flywheel import Flywheel, FlywheelPlan, PhotographRefused
from training.simulation.front_door.visitor import SiteRefused
from workers.flywheel.crew import assemble_crew
from workers.flywheel.measure import (
    CONTROLS,
    MeasurePlan,
    bias_measures,
    checkpoint_folder,
    held_out_scores,
    linear_fit,
    optimizer_of,
    simulated_arena,
    train_control,
)


class Command(BaseCommand):
    """Everything judged here is simulated; the project it happens in is the simulation's own."""

    help = "Play annotators of stated skill against this site for some rounds, and report what it gave."

    def add_arguments(self, parser: ArgumentParser) -> None:
        plan = FlywheelPlan()
        parser.add_argument("--url", required=True, help="Where the site is, http://127.0.0.1:8000 for one.")
        parser.add_argument("--project", default="simulation", help="Slug; made when it is missing.")
        parser.add_argument("--rounds", type=int, default=plan.rounds)
        parser.add_argument("--targets", type=int, default=plan.targets, help="Photographs a round.")
        text = "Candidates of each target."
        parser.add_argument("--candidates", type=int, default=plan.num_candidates, help=text)
        parser.add_argument("--annotators", type=int, default=6)
        text = "Cases that the artist models in a round."
        parser.add_argument("--artists-most", type=int, default=plan.artists_most, help=text)
        parser.add_argument("--seed", type=int, default=plan.seed)
        parser.add_argument("--sft-steps", type=int, help="Other than the console's own.")
        parser.add_argument("--dpo-steps", type=int, help="Other than the console's own.")
        text = "The steps are the first round's; later rounds pass over their data as often, so take more."
        parser.add_argument("--same-passes", action="store_true", help=text)
        text = "How SFT and DPO learn; other than the console's own."
        parser.add_argument("--sft-optimizer", choices=["adamw", "muon"], help=text)
        parser.add_argument("--sft-learning-rate", type=float, help=text)
        parser.add_argument("--dpo-learning-rate", type=float, help=text)
        text = "Noises that DPO compares each pair at; other than the console's own."
        parser.add_argument("--dpo-draws", type=int, help=text)
        text = "Part of each SFT batch that is synthetic; other than the console's own."
        parser.add_argument("--replay-share", type=float, help=text)
        text = "What the control learns from: what the first checkpoint had learnt from."
        parser.add_argument("--control", choices=CONTROLS, default="midtrain", help=text)
        text = "Held-out ones that a run's result is compared on with its base; other than the console's own."
        parser.add_argument("--evaluation-objects", type=int, help=text)
        parser.add_argument(
            "--objects", type=int, default=MeasurePlan.objects, help="Held-out, of the report."
        )
        parser.add_argument(
            "--work", type=Path, help="Default: a folder of the project's name in CANDID8_HOME."
        )
        parser.add_argument(
            "--out", type=Path, help="Report without its ending: .json, .md and .png are written."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if deployments.serving() is None:
            raise CommandError(
                "No checkpoint serves here yet: run manage.py seed_demo, or deploy one, first."
            )
        plan = _plan(options)
        folder = options["work"] or Path(settings.HOME) / "simulations" / options["project"]
        started = time.monotonic()

        def say(text: str) -> None:
            self.stdout.write(f"[{time.monotonic() - started:6.0f} s] {text}")
            self.stdout.flush()

        try:
            crew = assemble_crew(
                url=options["url"],
                slug=options["project"],
                plan=plan,
                annotators=options["annotators"],
                folder=folder,
                say=say,
            )
            records = Flywheel(crew, plan, folder, say=say).turn_all()
        except (SiteRefused, RunFailed, PhotographRefused, TimeoutError) as error:
            raise CommandError(f"{error}. The same command goes on where it stopped.") from error
        measure = MeasurePlan(objects=options["objects"], seed=plan.seed, control=options["control"])
        document = _measured(records, folder, plan, measure)
        document["bias"] = bias_measures(crew.project_id, seed=plan.seed)
        (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n")
        if options["out"]:
            write_report(document, options["out"])
            say(f"written: {options['out']}.json, .md and .png")


def _plan(options: dict[str, Any]) -> FlywheelPlan:
    def settings_of(objective: str) -> dict[str, Any]:
        chosen = {
            "steps": options[f"{objective}_steps"],
            "learning_rate": options[f"{objective}_learning_rate"],
            "evaluation_objects": options["evaluation_objects"],
        }
        if objective == "sft":
            chosen |= {"replay_share": options["replay_share"], "optimizer": options["sft_optimizer"]}
        else:
            chosen |= {"draws": options["dpo_draws"]}
        return {name: value for name, value in chosen.items() if value is not None}

    try:
        return FlywheelPlan(
            rounds=options["rounds"],
            targets=options["targets"],
            num_candidates=options["candidates"],
            artists_most=options["artists_most"],
            seed=options["seed"],
            sft=settings_of("sft"),
            dpo=settings_of("dpo"),
            same_passes=options["same_passes"],
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _measured(
    records: list[dict[str, Any]], folder: Path, plan: FlywheelPlan, measure: MeasurePlan
) -> dict[str, Any]:
    """The report's document: rounds as they were recorded, every checkpoint's scores, arena and fit."""
    first = json.loads((folder / "round-0.json").read_text())["checkpoint"]
    served = {"start": first} | {f"round-{record['round']}": record["checkpoint"] for record in records}
    places = {name: checkpoint_folder(number, folder / "checkpoints") for name, number in served.items()}
    steps = sum(record[kind]["total_steps"] for record in records for kind in ("sft", "dpo"))
    as_they_learned = optimizer_of(records[0]["sft"]["settings"])
    places[CONTROL] = train_control(
        places["start"], folder / CONTROL, steps=steps, optimizer=as_they_learned, plan=measure
    )
    scores = held_out_scores(places, folder / "scores", measure)
    arena = simulated_arena(scores, seed=plan.seed)
    return {
        "simulated": "people, artists and arena are simulated; objects are procedural, of the shifted world",
        "plan": {
            "rounds": plan.rounds,
            "targets": plan.targets,
            "seed": plan.seed,
            "objects": measure.objects,
            "control": measure.control,
            "sft": plan.sft,
            "dpo": plan.dpo,
            "same_passes": plan.same_passes,
        },
        "rounds": records,
        "scores": {name: score_row(one) for name, one in scores.items()},
        "arena": arena,
        "elo_fit": linear_fit([arena["elo"][name]["elo"] for name in served]),
    }
