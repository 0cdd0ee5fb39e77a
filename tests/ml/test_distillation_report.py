"""The distillation report at preset nano: who is compared, what it costs, and when a student passes."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from modelzoo.checkpoint import Lineage, assemble
from modelzoo.registry import Models, build, preset_config
from training.data.trajectories import TeacherPlan
from training.reports.distillation import Walkers, add_commands, distillation_report, passed
from training.reports.distillation_table import as_markdown


def _checkpoint(models: Models, folder: Path) -> Path:
    assemble(
        models.components(),
        folder=folder,
        preset="nano",
        config=preset_config(models.preset),
        lineage=Lineage(objective="pretrain", dataset_hash="none", command="none", seed=3, steps=0),
    )
    return folder


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    models = build("nano", seed=3)
    torch.manual_seed(0)
    torch.nn.init.constant_(models.ss_vae.decoder.leave.bias, 0.05)  # so that there is something solid
    torch.nn.init.normal_(models.geometry.shape_out.weight, std=0.3)
    with torch.no_grad():
        for name, parameter in models.geometry.named_parameters():
            if "cross_out" in name:  # so that the photograph, and with it guidance, changes something
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return models


def test_a_student_that_nobody_distilled_is_the_unguided_naive_walk_and_fails(
    models: Models, tmp_path: Path
) -> None:
    folder = _checkpoint(models, tmp_path)
    report = distillation_report(folder, folder, num_objects=2, num_samples=1)
    methods = report["methods"]
    assert isinstance(methods, dict)
    assert [methods[name]["evaluations"] for name in ("teacher", "student", "naive", "naive_unguided")] == [
        45,  # 25 steps, 20 of them at t <= 0.5 and so guided
        4,
        8,
        4,
    ]
    unguided = report["student_minus_naive_unguided"]
    assert isinstance(unguided, dict)
    assert all(one["difference"] == 0.0 for one in unguided.values())
    assert (
        methods["teacher"]["latent_mse"]["mean"] == 0.0 and methods["teacher"]["teacher_iou"]["mean"] == 1.0
    )
    assert methods["student"]["latent_mse"]["mean"] > 0.0
    assert isinstance(report["passed"], dict) and not report["passed"]["latent_mse_beats_naive"]
    table = as_markdown(report)
    assert "| naive 4 steps, unguided | +0.0000 [+0.0000, +0.0000] |" in table
    assert "- latent mse beats naive: no" in table and "| teacher, 25 guided steps | 45 | 0.000 " in table


def test_a_student_of_another_teacher_is_refused(models: Models, tmp_path: Path) -> None:
    teacher = _checkpoint(models, tmp_path / "teacher")
    other = build("nano", seed=3)
    other.geometry.shape_mean.fill_(0.5)
    with pytest.raises(ValueError, match="shape_mean is another"):
        distillation_report(teacher, _checkpoint(other, tmp_path / "student"), num_objects=2)


def test_a_student_passes_when_it_is_surely_nearer_and_keeps_the_f_score() -> None:
    rng = np.random.default_rng(0)

    def scores(mse: float, iou: float, f_score: float) -> dict[str, np.ndarray]:
        noise = rng.normal(0, 0.01, (4, 20))
        return {
            "latent_mse": mse + noise[0],
            "teacher_iou": iou + noise[1],
            "f_score_at_0.01": f_score + 0 * noise[2],
            "f_score_at_0.05": f_score + 0 * noise[3],
        }

    teacher, naive = scores(0.0, 1.0, 0.40), scores(0.08, 0.80, 0.40)
    others = {"teacher": teacher, "naive": naive, "naive_unguided": scores(0.16, 0.70, 0.40)}
    good = passed(others | {"student": scores(0.03, 0.90, 0.381)}, seed=0)
    assert all(good.values()) and len(good) == 6
    same = passed(others | {"student": scores(0.08, 0.80, 0.379)}, seed=0)
    assert {name for name, one in same.items() if one} == {
        "latent_mse_beats_naive_unguided",
        "teacher_iou_beats_naive_unguided",
    }


def test_the_student_and_the_naive_walks_take_the_steps_of_the_plan(models: Models) -> None:
    plan = TeacherPlan(steps=8, student_steps=2, rescale_t=3.0)
    walkers = Walkers(plan=plan, teacher=models.geometry, student=models.geometry).settings()
    assert {name: settings.steps for name, (_, settings) in walkers.items()} == {
        "teacher": 25,
        "student": 2,
        "naive": 2,
        "naive_unguided": 2,
        "teacher_flow": 8,
        "student_flow": 8,
    }
    assert walkers["student"][1].times() == pytest.approx(plan.times())
    assert walkers["student"][1].step_size == 0.5 and walkers["naive"][1].step_size == 0.0


def test_the_command_asks_for_both_checkpoints() -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(["distillation-report", "--teacher", "a", "--student", "b", "--objects", "4"])
    assert (options.teacher, options.student, options.objects) == (Path("a"), Path("b"), 4)
