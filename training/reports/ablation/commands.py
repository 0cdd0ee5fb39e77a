"""The commands ``ablate`` (one seed's stages, trained and scored) and ``ablation-report`` (the cumulative table)."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import get_args

from modelzoo.registry import load_models
from training.configs import Stage
from training.data.scenes import AnnotatedWorld
from training.loop.reporting import shown_on
from training.provenance import provenance
from training.reports.ablation.arms import GIVEN, MADE, AblationPlan, Settings, run_arms
from training.reports.ablation.report import STUDY, as_markdown, report, verdicts
from training.reports.ablation.scores import HELD_OUT_SEED, HeldOutSet

PRINT_EVERY = 25


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds both; several seeds may run beside each other in one work folder."""
    text = "collect, judge, train and score all stages of a seed; the same call goes on where it was stopped"
    sub = commands.add_parser("ablate", help=text, description=text)
    sub.set_defaults(run=_ablate)
    sub.add_argument("--work", type=Path, required=True)
    sub.add_argument("--pretrained", type=Path, required=True, help="checkpoint folder")
    sub.add_argument("--midtrained", type=Path, required=True, help="checkpoint folder")
    sub.add_argument("--seed", type=int, required=True)
    sub.add_argument("--targets", type=int, default=AblationPlan.num_targets)
    text = "of every stage, to try the way through (default: those of training/configs.py)"
    sub.add_argument("--steps", type=int, default=None, help=text)
    text = "what people annotate: the rendered families in wider shapes, or families that no training renders"
    sub.add_argument("--world", choices=get_args(AnnotatedWorld), default="shifted", help=text)
    text = (
        "the stages' settings: of training/configs.py, for a base that learned for minutes, or for a long-trained base "
        "in the foreign world (training/reports/ablation/arms.py)"
    )
    sub.add_argument("--settings", choices=get_args(Settings), default="usual", help=text)
    sub.add_argument("--objects", type=int, default=64, help="held-out objects")
    text = "other than 0 while settings are tried: 0 is the set that the report is about"
    sub.add_argument("--objects-seed", type=int, default=HELD_OUT_SEED, help=text)
    sub.add_argument(
        "--scored", type=int, default=4, help="candidates an object that all metrics are taken of"
    )
    sub.add_argument("--drawn", type=int, default=8, help="candidates an object for best of K")
    text = "print the cumulative table of finished seeds and write it as JSON, Markdown and picture"
    sub = commands.add_parser("ablation-report", help=text, description=text)
    sub.set_defaults(run=_report)
    sub.add_argument("--work", type=Path, required=True)
    sub.add_argument("--seeds", type=int, nargs="+", required=True)
    sub.add_argument(
        "--out", type=Path, default=Path("docs/reports/ablation"), help="path without its ending"
    )
    sub.add_argument(
        "--about", help="a sentence for the top of the report: which base these stages began with"
    )


def _ablate(options: argparse.Namespace) -> int:
    midtrained, models = load_models(options.midtrained)
    held_out = HeldOutSet(
        models.geometry.preset,
        count=options.objects,
        scored=options.scored,
        drawn=options.drawn,
        seed=options.objects_seed,
        world=options.world,
    )
    plan = AblationPlan(
        num_targets=options.targets,
        steps=_shortened(options.steps),
        world=options.world,
        settings=options.settings,
    )
    began = {"pretrained": load_models(options.pretrained)[0].sha256, "midtrained": midtrained.sha256}
    _keep_to_one_study(options.work, {**began, **asdict(plan), **held_out.about()})
    own = options.work / f"seed-{options.seed}"
    stages = run_arms(
        midtrained=options.midtrained,
        folder=own,
        plan=plan,
        seed=options.seed,
        on_progress=shown_on(sys.stdout, every=PRINT_EVERY),
    )
    for stage, checkpoint in stages:
        _say(stage, held_out.scores(checkpoint, own / f"{stage}.npz").shape.viou.mean())
    for stage, checkpoint in zip(GIVEN, (options.pretrained, options.midtrained), strict=True):
        _say(stage, held_out.scores(checkpoint, options.work / f"{stage}.npz").shape.viou.mean())
    return 0


def _report(options: argparse.Namespace) -> int:
    document = {**report(options.work, options.seeds), "provenance": provenance(seed=options.seeds[0])}
    if options.about:
        document["about"] = options.about
    document["verdicts"] = verdicts(document)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    text = as_markdown(document)
    options.out.with_suffix(".md").write_text(text)
    # matplotlib is an extra of its own (report): only this command may ask for it.
    import_module("training.reports.ablation.picture").draw_table(document, options.out.with_suffix(".png"))
    sys.stdout.write(text + "\n".join(document["verdicts"]) + "\n")
    return 0


def _keep_to_one_study(work: Path, told: dict[str, object]) -> None:
    """A work folder's seeds can be compared only when all were run and scored alike. ValueError says what differs."""
    kept = work / STUDY
    told = json.loads(json.dumps(told))
    if kept.exists():
        before = json.loads(kept.read_text())
        differs = [name for name in told if told[name] != before.get(name)]
        if differs:
            asked = ", ".join(f"{name} {before.get(name)} and not {told[name]}" for name in differs)
            raise ValueError(
                f"{work} holds seeds with {asked}: take another folder, or the settings of before"
            )
    work.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(told, indent=1) + "\n")


def _shortened(steps: int | None) -> tuple[tuple[Stage, int], ...]:
    return () if steps is None else tuple((stage, steps) for stage in MADE)


def _say(stage: str, overlap: float) -> None:
    sys.stdout.write(json.dumps({"stage": stage, "viou": round(float(overlap), 4)}) + "\n")
    sys.stdout.flush()
