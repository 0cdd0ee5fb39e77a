"""The cumulative table: stages of a seed, scores on one held-out set, differences, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelzoo.registry import load_models
from tests.untrained import untrained_checkpoint
from training.cli import main
from training.configs import STAGES
from training.provenance import provenance
from training.reports.ablation.arms import CONTROL, GIVEN, MADE, AblationPlan, round_summaries, run_arms
from training.reports.ablation.picture import draw_table
from training.reports.ablation.report import STUDY, as_markdown, report, verdicts
from training.reports.ablation.scores import HeldOutSet, StageScores, read_scores
from training.reports.scoring import ShapeScores

METRICS = [name for name in ShapeScores.__dataclass_fields__ if name != "f1_001_floor"]


def _write_scores(path: Path, *, viou: np.ndarray, rest: float = 0.5, texture: str = "a") -> None:
    """Kept scores whose overlap is given (N x K) and whose other metrics are one number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {name: np.full(viou.shape, rest) for name in METRICS}
    columns["viou"] = viou
    np.savez(path, many_overlaps=viou, texture=texture, f1_001_floor=np.full(len(viou), 0.99), **columns)


def _write_rounds(folder: Path) -> None:
    for number, told in enumerate(round_summaries(folder)):
        told.parent.mkdir(parents=True)
        told.write_text(json.dumps({"alpha": 0.3, "demonstrations": 7 + number}))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two seeds over six objects: every stage .1 better than the one before it, the control as good as midtrain."""
    base = np.linspace(0.1, 0.2, 12).reshape(6, 2)
    for number, stage in enumerate(GIVEN):
        _write_scores(tmp_path / f"{stage}.npz", viou=base + 0.1 * number)
    for seed in (0, 1):
        folder = tmp_path / f"seed-{seed}"
        _write_rounds(folder)
        for number, stage in enumerate(MADE):
            _write_scores(folder / f"{stage}.npz", viou=base + 0.1 * (number + 2) + 0.02 * seed)
        _write_scores(folder / f"{CONTROL}.npz", viou=base + 0.1)
    (tmp_path / STUDY).write_text(json.dumps({"world": "foreign"}))
    return tmp_path


def test_a_step_is_the_paired_difference_over_objects_and_seeds(work: Path) -> None:
    step = report(work, [0, 1])["steps"]
    assert step["pretrain > midtrain"]["viou"]["difference"] == pytest.approx(0.1)
    first = step["midtrain > sft"]["viou"]
    assert first["difference"] == pytest.approx(0.11)  # .1 and .12
    assert first["standard_error_over_seeds"] == pytest.approx(0.01)
    assert step["sft > dpo"]["viou"]["standard_error_over_seeds"] == pytest.approx(0.0)
    assert step["midtrain > control"]["viou"]["difference"] == pytest.approx(0.0)
    assert step["sft > dpo"]["emd"]["difference"] == pytest.approx(0.0)


def test_rows_give_the_best_of_many_and_its_gap_to_the_mean(work: Path) -> None:
    rows = report(work, [0, 1])["rows"]
    assert list(rows) == [*GIVEN, *MADE, CONTROL]
    gap = float((np.linspace(0.1, 0.2, 12).reshape(6, 2) @ np.array([-0.5, 0.5])).mean())
    assert rows["pretrain"]["gap_of_many"]["mean"] == pytest.approx(gap, abs=1e-4)
    assert len(rows["sft"]["f1_001_by_seed"]) == 2 and len(rows["pretrain"]["chamfer_by_seed"]) == 1
    assert rows["sft"]["viou_by_seed"][1] - rows["sft"]["viou_by_seed"][0] == pytest.approx(0.02, abs=2e-4)


def test_the_words_follow_the_intervals_and_know_which_way_is_better(work: Path) -> None:
    _write_scores(work / "seed-0" / "dpo.npz", viou=np.full((6, 2), 0.4), rest=0.9)
    _write_scores(work / "seed-1" / "dpo.npz", viou=np.full((6, 2), 0.4), rest=0.9)
    said = "\n".join(verdicts(report(work, [0, 1])))
    assert "pre to mid, vIoU: better" in said
    assert "SFT to DPO, Chamfer (less is better): worse" in said and "SFT to DPO, F1@0.01: better" in said
    assert "mid to control, vIoU: no difference" in said


def test_the_table_for_people_has_a_line_for_every_stage(work: Path) -> None:
    document = {**report(work, [0, 1]), "provenance": provenance(seed=0)}
    document["verdicts"] = verdicts(document)
    text = as_markdown(json.loads(json.dumps(document)))
    assert text.count("control: as much work") == 2 and "+ DPO (artists)" in text  # shape and layout
    assert "| mid to SFT | +0.0000 ± 0.0000 ± 0.0000 | +0.1100 ± 0.0000 ± 0.0100 |" in text
    assert (
        "| 1 | SFT | 0.3 | 7 |" in text
        and "| 1 | DPO (artists) | 0.3 | 10 |" in text
        and "no stage of this table touches it" in text
    )
    assert "F1@0.01 of two samplings of one shape" in text and document["provenance"]["commit"] in text


def test_what_one_seed_alone_shows_is_not_called_better_and_textures_that_differ_are_told(work: Path) -> None:
    _write_scores(work / "seed-0" / "sft.npz", viou=np.full((6, 2), 0.9), texture="b")
    document = report(work, [0, 1])
    step = document["steps"]["midtrain > sft"]["viou"]
    assert step["low"] > 0 and step["difference"] < 2 * step["standard_error_over_seeds"]
    assert "mid to SFT, vIoU: no difference" in "\n".join(verdicts(document))
    assert document["texture"] == "not measured, although the rows have 2 different texture flows"


def test_the_picture_has_as_many_points_as_stages(work: Path, tmp_path: Path) -> None:
    draw_table(report(work, [0, 1]), tmp_path / "table.svg")
    drawn = (tmp_path / "table.svg").read_text()
    assert (
        drawn.count("<svg") == 1 and drawn.count("LineCollection") == 4 * 7
    )  # bars of every stage and of the control in each panel


def test_a_seed_without_scores_is_named(work: Path) -> None:
    with pytest.raises(FileNotFoundError, match="seed-7"):
        report(work, [0, 7])


def test_the_control_arm_does_as_much_work_as_all_stages_and_has_no_people() -> None:
    steps = tuple(zip(MADE, (100, 50, 60, 20), strict=True))
    control = AblationPlan(steps=steps).control(seed=1)
    assert control.steps == 100 + 0.8 * 50 + 60 + 0.8 * 20, "one noise a pair"
    assert (
        AblationPlan(steps=steps, settings="foreign").control(seed=1).steps == 100 + 3.2 * 50 + 60 + 3.2 * 20
    )
    assert control.data == "scenes" and control.objective == "flow"
    assert control.optimizer == STAGES["sft"].optimizer


def test_seeds_that_were_run_otherwise_do_not_share_a_work_folder(tmp_path: Path) -> None:
    place, work = untrained_checkpoint(tmp_path / "start"), tmp_path / "work"
    small = "--steps 1 --targets 3 --objects 2 --scored 1 --drawn 2"
    call = f"ablate --work {work} --pretrained {place} --midtrained {place} --seed 0 {small}".split()
    call += ["--world", "foreign"]
    assert main(call) == 0
    told = json.loads((work / STUDY).read_text())
    assert (told["world"], told["objects"], told["num_targets"]) == ("foreign", 2, 3)
    assert "foreign procedural world" in report(work, [0])["simulated"]
    with pytest.raises(ValueError, match="world foreign and not shifted"):
        main([*call[:-1], "shifted"])
    other = str(untrained_checkpoint(tmp_path / "other", seed=1))
    with pytest.raises(ValueError, match=r"midtrained [0-9a-f]{64} and not"):
        main([*call, "--midtrained", other])


def test_a_seeds_stages_run_once_and_give_scores_on_the_same_objects(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(tmp_path / "start")
    steps = tuple((stage, 1) for stage in MADE)
    plan = AblationPlan(num_targets=3, num_candidates=3, num_replay=4, steps=steps)

    def run() -> dict[str, Path]:
        return dict(run_arms(midtrained=checkpoint, folder=tmp_path / "seed-0", plan=plan, seed=0))

    made = run()
    assert list(made) == [*MADE, CONTROL]
    before = {stage: (folder / "weights.safetensors").stat().st_mtime_ns for stage, folder in made.items()}
    assert {s: (f / "weights.safetensors").stat().st_mtime_ns for s, f in run().items()} == before
    preset = load_models(checkpoint)[1].geometry.preset
    held_out = HeldOutSet(preset, count=2, scored=1, drawn=2)
    scores = held_out.scores(made["sft"], tmp_path / "sft.npz")
    assert isinstance(scores, StageScores) and scores.many_overlaps.shape == (2, 2)
    assert scores.shape.viou.shape == (2, 1)
    assert np.array_equal(read_scores(tmp_path / "sft.npz").shape.viou, scores.shape.viou)
    assert np.array_equal(scores.many_overlaps[:, :1], scores.shape.viou)
