"""Whether four distilled steps draw what the teacher draws from the same noise, beside four steps nobody trained.

And whether the student's own flow, many guided steps at step size 0, is still the teacher's.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modelzoo.contracts import SamplerSettings
from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from modelzoo.registry import load_models
from modelzoo.samplers import FlowSettings
from modelzoo.samplers.geometry import draw_geometry
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.batches import ConditionBatch
from training.data.samples import Example
from training.data.sources import pick
from training.data.trajectories import TeacherPlan
from training.metrics.intervals import bootstrap_mean, paired_difference
from training.metrics.overlap import volume_iou
from training.metrics.surface import nearest_distances, surface_points
from training.provenance import provenance
from training.reports.distillation_table import as_markdown
from training.reports.held_out import ALONE, condition_batch, held_out_examples, truth_grids

TEACHER_STEPS = 25
FLOW_STEPS = SamplerSettings().geometry_steps  # that annotators' candidates are drawn with
SURFACE_POINTS = 30_000
THRESHOLDS = (0.01, 0.05)
F1_KEPT = 0.95  # of the teacher's
AT_ONCE = 8
EMPTY_CHAMFER = 0.87  # of a guess without a surface: the cube's half diagonal


@dataclass(frozen=True, kw_only=True)
class Walkers:
    """What is compared: the teacher's many steps, the student's few, and the teacher taking as few."""

    plan: TeacherPlan
    teacher: GeometryModel
    student: GeometryModel

    def settings(self) -> dict[str, tuple[GeometryModel, FlowSettings]]:
        """Model and sampler settings by name; ``naive`` is guided, which costs it twice the evaluations."""
        few = self.plan.student_steps
        return {
            "teacher": (self.teacher, self._guided(TEACHER_STEPS)),
            "student": (
                self.student,
                FlowSettings(kind="shortcut", steps=few, rescale_t=self.plan.rescale_t),
            ),
            "naive": (self.teacher, self._guided(few)),
            "naive_unguided": (self.teacher, FlowSettings(steps=few, rescale_t=self.plan.rescale_t)),
            "teacher_flow": (self.teacher, self._guided(FLOW_STEPS)),
            "student_flow": (self.student, self._guided(FLOW_STEPS)),
        }

    def _guided(self, steps: int) -> FlowSettings:
        return FlowSettings(
            steps=steps,
            rescale_t=self.plan.rescale_t,
            cfg_strength=self.plan.cfg_strength,
            cfg_interval=(0.0, self.plan.cfg_until),
        )


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """N x K draws: standardised latents and layouts, and solid grids."""

    shape: Tensor
    layout: Tensor
    grids: Tensor


def distillation_report(
    teacher_dir: Path,
    student_dir: Path,
    *,
    seed: int = 0,
    num_objects: int = 32,
    num_samples: int = 2,
    plan: TeacherPlan | None = None,
) -> dict[str, object]:
    """Fidelity to the teacher, closeness to the truth and cost of each, with paired 95 % intervals over objects.

    Held-out procedural objects of the shifted world. Raises ValueError when the student standardises its latents
    otherwise, so that no noise is the same to both.
    """
    manifest, models = load_models(teacher_dir)
    child, distilled = load_models(student_dir)
    _check_same_space(models.geometry, distilled.geometry)
    walkers = Walkers(plan=plan or TeacherPlan(), teacher=models.geometry, student=distilled.geometry)
    preset = models.geometry.preset
    examples = held_out_examples(
        count=num_objects,
        seed=seed,
        size=preset.image_size,
        resolution=preset.resolution,
        mixture=ALONE["shifted"],
    )
    scores = score(walkers, models.ss_vae, examples, num_samples=num_samples, seed=seed)
    differences = {
        f"student_minus_{other}": _differences(scores["student"], scores[other], seed)
        for other in ("naive", "naive_unguided", "teacher")
    }
    differences["student_flow_minus_teacher_flow"] = _differences(
        scores["student_flow"], scores["teacher_flow"], seed
    )
    return {
        "teacher": manifest.sha256,
        "student": child.sha256,
        "data": "held-out procedural objects of the shifted world, simulated",
        "occupancy": "solid; surfaces in the unit cube, not aligned",
        "num_objects": num_objects,
        "samples_per_object": num_samples,
        "plan": asdict(walkers.plan),
        "methods": {
            name: {
                "evaluations": settings.evaluations,
                **{key: bootstrap_mean(column, seed=seed).as_dict() for key, column in scores[name].items()},
            }
            for name, (_, settings) in walkers.settings().items()
        },
        "f_score_floor": _floor(truth_grids(examples)[0]),
        **differences,
        "passed": passed(scores, seed=seed),
        "provenance": provenance(seed=seed),
    }


def passed(scores: dict[str, dict[str, np.ndarray]], *, seed: int) -> dict[str, bool]:
    """Nearer to the teacher than as few untrained steps, by intervals that leave out 0, and F1 within 5 % of its.

    Both naive walks count: the unguided one has the student's number of evaluations, the guided one twice as many.
    """
    student, outcome = scores["student"], {}
    for name in ("naive_unguided", "naive"):
        nearer = paired_difference(student["latent_mse"], scores[name]["latent_mse"], seed=seed)
        alike = paired_difference(student["teacher_iou"], scores[name]["teacher_iou"], seed=seed)
        outcome[f"latent_mse_beats_{name}"] = nearer.high < 0
        outcome[f"teacher_iou_beats_{name}"] = alike.low > 0
    for threshold in THRESHOLDS:
        kept, was = (float(scores[who][f"f_score_at_{threshold}"].mean()) for who in ("student", "teacher"))
        outcome[f"f_score_at_{threshold}_within_5_percent"] = kept >= F1_KEPT * was
    return outcome


def score(
    walkers: Walkers, vae: SparseStructureVAE, examples: list[Example], *, num_samples: int, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Of each walker, by metric, one number per object: the mean over its draws."""
    views, truth = condition_batch(examples), truth_grids(examples)
    drawn = {
        name: draw_walk(model, vae, views, settings, num_samples=num_samples, seed=seed)
        for name, (model, settings) in walkers.settings().items()
    }
    return {name: _columns(one, drawn["teacher"], truth) for name, one in drawn.items()}


@torch.no_grad()
def draw_walk(
    model: GeometryModel,
    vae: SparseStructureVAE,
    views: ConditionBatch,
    settings: FlowSettings,
    *,
    num_samples: int,
    seed: int,
) -> Drawn:
    """K draws of each target; draw k of target i starts from the same noise whoever draws."""
    shapes, layouts, grids = [], [], []
    for rows in torch.split(torch.arange(len(views)), AT_ONCE):
        own = pick(views, rows)
        tokens = model.encode(own.crop, own.full, own.box).repeat_interleave(num_samples, dim=0)
        noise = [_noise(model, seed, int(row), num_samples) for row in rows]
        sample = draw_geometry(
            model,
            tokens,
            noise_shape=torch.cat([shape for shape, _ in noise]),
            noise_layout=torch.cat([layout for _, layout in noise]),
            settings=settings,
        )
        shapes.append(model.standardise_shape(sample.shape))
        layouts.append(model.standardise_layout(sample.layout))
        grids.append(torch.cat([vae.decode(part) > 0 for part in torch.split(sample.shape, AT_ONCE)]))
    count = (len(views), num_samples)
    shape, layout, grid = (torch.cat(parts).unflatten(0, count) for parts in (shapes, layouts, grids))
    return Drawn(shape=shape, layout=layout, grids=grid)


def _noise(model: GeometryModel, seed: int, target: int, num_samples: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + target)
    shape = torch.randn((num_samples, *model.preset.latent_shape), generator=generator)
    return shape, torch.randn((num_samples, LAYOUT_DIM), generator=generator)


def _columns(drawn: Drawn, teacher: Drawn, truth: Tensor) -> dict[str, np.ndarray]:
    surfaces = np.array(
        [
            [_surface(grid, truth[index], [index, number]) for number, grid in enumerate(grids)]
            for index, grids in enumerate(drawn.grids)
        ]
    ).mean(axis=1)
    per_draw = {
        "latent_mse": (drawn.shape - teacher.shape).square().flatten(2).mean(dim=2),
        "layout_mse": (drawn.layout - teacher.layout).square().mean(dim=2),
        "latent_std": drawn.shape.flatten(2).std(dim=2),
        "teacher_iou": volume_iou(drawn.grids, teacher.grids),
        "volume_iou": volume_iou(drawn.grids, truth[:, None]),
    }
    columns = {name: values.mean(dim=1).numpy() for name, values in per_draw.items()}
    names = [*[f"f_score_at_{threshold}" for threshold in THRESHOLDS], "chamfer"]
    return columns | {name: surfaces[:, number] for number, name in enumerate(names)}


def _surface(guess: Tensor, truth: Tensor, key: list[int]) -> list[float]:
    """F-scores at the thresholds and Chamfer distance; an empty guess scores nothing."""
    if not bool(guess.any()):
        return [*[0.0] * len(THRESHOLDS), EMPTY_CHAMFER]
    points = [
        surface_points(grid.numpy(), count=SURFACE_POINTS, rng=np.random.default_rng([*key, side]))
        for side, grid in enumerate((guess, truth))
    ]
    found = nearest_distances(points[0], points[1])
    return [*[found.f_score(threshold=threshold) for threshold in THRESHOLDS], found.chamfer()]


def _floor(truth: Tensor) -> dict[str, float]:
    """What one and the same shape scores against itself with this many points."""
    scores = _surface(truth, truth, [0, 0])
    return {
        f"f_score_at_{threshold}": round(one, 4) for threshold, one in zip(THRESHOLDS, scores, strict=False)
    }


def _differences(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray], seed: int
) -> dict[str, dict[str, float]]:
    return {name: paired_difference(one[name], other[name], seed=seed).as_dict() for name in one}


def _check_same_space(teacher: GeometryModel, student: GeometryModel) -> None:
    for name in ("shape_mean", "shape_std", "layout_mean", "layout_std"):
        if not torch.equal(getattr(teacher, name), getattr(student, name)):
            raise ValueError(f"the student was not distilled from this teacher: its {name} is another")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``distillation-report``: exit status 1 where the student fails."""
    summary = "hold a distilled checkpoint against its teacher and against as few steps untrained"
    sub = commands.add_parser("distillation-report", help=summary, description=summary)
    sub.set_defaults(run=_run)
    sub.add_argument("--teacher", type=Path, required=True)
    sub.add_argument("--student", type=Path, required=True)
    sub.add_argument("--objects", type=int, default=32)
    sub.add_argument("--samples", type=int, default=2)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", type=Path, default=None)


def _run(options: argparse.Namespace) -> int:
    report = distillation_report(
        options.teacher,
        options.student,
        seed=options.seed,
        num_objects=options.objects,
        num_samples=options.samples,
    )
    table = as_markdown(report)
    sys.stdout.write(table)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(table)
    outcome = report["passed"]
    assert isinstance(outcome, dict)
    return 0 if all(outcome.values()) else 1
