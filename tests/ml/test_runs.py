"""A whole run at preset nano: simulated dataset, SFT, DPO, child checkpoints and their comparison."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from modelzoo.checkpoint import load, read_manifest
from modelzoo.registry import load_models
from tests.glb_reading import uncompressed
from tests.ml.nano_parent import nano_parent
from training.configs import RunConfig, Stage, default_config
from training.data.manifests import ManifestRefused, read_dataset
from training.evaluate import compare, compare_to_parent
from training.reports.first_model import first_model_report
from training.runs import run_training
from training.simulation.rounds import write_simulated_dataset


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nano_parent(tmp_path_factory.mktemp("parent"), stirred=True)


@pytest.fixture(scope="module")
def dataset(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_simulated_dataset(parent, folder, num_targets=4, alpha=-1.0, seed=0)
    return folder


@pytest.fixture(scope="module")
def artists(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same answers, had artists made them."""
    folder = tmp_path_factory.mktemp("artists")
    rows = [json.loads(line) for line in (dataset / "manifest.jsonl").read_text().splitlines()]
    rows = [row | {"source": "artist"} for row in rows if row["kind"] == "demonstration"]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "blobs").symlink_to(dataset / "blobs")
    return folder


def _config(stage: Stage) -> RunConfig:
    return replace(default_config(stage, steps=2), batch_size=4, num_replay=4)


def test_sft_makes_a_child_that_names_its_parent_and_dataset(
    parent: Path, dataset: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    result = run_training(
        _config("sft"),
        workdir=tmp_path,
        checkpoint_dir=parent,
        manifest_dir=dataset,
        on_progress=lambda step, total, metrics: seen.append((step, total)),
    )
    child = read_manifest(result.output_dir)
    assert seen == [(1, 2), (2, 2)]
    assert child.parent == read_manifest(parent).sha256 != child.sha256
    assert child.lineage.dataset_hash == read_dataset(dataset).sha256
    assert (child.lineage.objective, child.lineage.steps) == ("sft", 2)


def test_the_same_run_gives_the_same_weights_and_a_finished_one_returns_at_once(
    parent: Path, dataset: Path, tmp_path: Path
) -> None:
    shas = []
    for name in ("one", "two"):
        result = run_training(
            _config("sft"), workdir=tmp_path / name, checkpoint_dir=parent, manifest_dir=dataset
        )
        shas.append(read_manifest(result.output_dir).sha256)
    assert shas[0] == shas[1]
    again = run_training(
        _config("sft"), workdir=tmp_path / "one", checkpoint_dir=Path("gone"), manifest_dir=Path("gone")
    )
    assert read_manifest(again.output_dir).sha256 == shas[0]


@pytest.mark.parametrize(
    ("stage", "moved"),
    [
        ("midtrain", {"encoder", "blocks.0.shape", "blocks.0.layout", "time"}),
        ("layout", {"blocks.0.layout"}),
        ("sft_art", {"encoder", "blocks.0.shape", "blocks.0.layout", "time"}),
        ("dpo_art", {"encoder", "blocks.0.shape", "time"}),
        ("distil", {"blocks.0.shape", "blocks.0.layout", "time"}),
    ],
)
def test_each_stage_moves_its_own_parts_of_the_geometry_and_nothing_else(
    parent: Path, dataset: Path, artists: Path, tmp_path: Path, stage: Stage, moved: set[str]
) -> None:
    config = replace(default_config(stage, steps=1), batch_size=2, num_replay=2, num_trajectories=2)
    given = {"scenes": None, "artists": artists}.get(config.data, dataset)
    run_training(config, workdir=tmp_path, checkpoint_dir=parent, manifest_dir=given)
    before, after = load(parent)[1], load(tmp_path / "checkpoint")[1]
    assert before.keys() == after.keys()
    for name in ("ss_vae", "slat_vae", "texture"):
        assert all(torch.equal(value, after[name][key]) for key, value in before[name].items())
    changed = {
        key for key, value in before["geometry"].items() if not torch.equal(value, after["geometry"][key])
    }
    groups = {"encoder", "blocks.0.shape", "blocks.0.layout", "time"}
    assert {group for group in groups if any(key.startswith(f"{group}.") for key in changed)} == moved


def test_a_stage_of_judgements_needs_a_dataset_and_artists_need_their_own(
    parent: Path, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="stage sft learns from demonstrations: it needs a dataset"):
        run_training(_config("sft"), workdir=tmp_path, checkpoint_dir=parent, manifest_dir=None)
    with pytest.raises(ValueError, match="no demonstrations"):
        run_training(_config("sft_art"), workdir=tmp_path, checkpoint_dir=parent, manifest_dir=dataset)
    with pytest.raises(ValueError, match="does not start from a checkpoint"):
        run_training(_config("pretrain"), workdir=tmp_path, checkpoint_dir=parent, manifest_dir=None)


def test_dpo_needs_pairs_and_says_so(parent: Path, dataset: Path, tmp_path: Path) -> None:
    lines = (dataset / "manifest.jsonl").read_text().splitlines()
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "manifest.jsonl").write_text("".join(f"{line}\n" for line in lines if '"demonstration"' in line))
    (alone / "blobs").symlink_to(dataset / "blobs")
    with pytest.raises(ValueError, match="no preference pairs"):
        run_training(_config("dpo"), workdir=tmp_path / "run", checkpoint_dir=parent, manifest_dir=alone)


def test_a_missing_manifest_is_refused(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestRefused, match=r"manifest\.jsonl"):
        run_training(_config("sft"), workdir=tmp_path, checkpoint_dir=parent, manifest_dir=tmp_path)


def test_a_checkpoint_compared_with_itself_shows_no_difference(parent: Path) -> None:
    report = compare_to_parent(parent, parent, num_objects=2)
    metrics = report["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["volume_iou_mean"]["difference"] == 0.0
    assert metrics["chamfer"]["higher_is_better"] is False
    assert "no difference" in str(report["verdict"])


def test_a_checkpoint_that_was_measured_before_is_not_measured_again(parent: Path, tmp_path: Path) -> None:
    fresh = compare(parent, parent, num_objects=2, kept=tmp_path)
    (file,) = tmp_path.iterdir()  # the second of the two was read
    assert compare(parent, parent, num_objects=2, kept=tmp_path).report == fresh.report
    with np.load(file) as stored:
        changed = dict(stored)
    changed["column:chamfer"] = changed["column:chamfer"] + 1.0
    np.savez_compressed(file, **changed)
    again = compare(parent, parent, num_objects=2, kept=tmp_path).report["metrics"]
    first = fresh.report["metrics"]
    assert isinstance(again, dict) and isinstance(first, dict)
    assert again["chamfer"]["parent"] == pytest.approx(first["chamfer"]["parent"] + 1.0)
    file.write_bytes(file.read_bytes()[:200])
    assert compare(parent, parent, num_objects=2, kept=tmp_path).report == fresh.report, (
        "cut off: measured again"
    )


def test_a_comparison_keeps_objects_to_look_at_chosen_by_the_figures(parent: Path) -> None:
    compared = compare(parent, parent, num_objects=3)
    assert {example.case for example in compared.examples} == {"worst change", "middle", "best change"}
    for example in compared.examples:
        truth = trimesh.load(io.BytesIO(uncompressed(example.truth_glb)), file_type="glb", force="mesh")
        low, high = truth.bounds
        assert (low >= -0.5).all() and (high <= 0.5).all() and (high - low).max() > 0.8
        assert example.parent_glbs == example.child_glbs and example.parent_ious == example.child_ious
        width, height = Image.open(io.BytesIO(example.photo_png)).size
        assert width == height == load_models(parent)[1].geometry.preset.image_size
        for data, iou in zip(example.child_glbs, example.child_ious, strict=True):
            assert data or iou == 0.0, "a guess without a surface overlaps with nothing"


def test_the_first_model_report_says_that_an_untrained_model_fails(parent: Path) -> None:
    report = first_model_report(parent, num_objects=2)
    assert report["passed"] is False
    assert {"shipped", "untrained", "training_mean_shape", "pose", "provenance"} <= report.keys()
