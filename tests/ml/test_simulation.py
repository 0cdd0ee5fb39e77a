"""The simulated annotation round: proposals, judgements, datasets and their merging, at preset nano."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modelzoo.registry import Models, build
from modelzoo.samplers import FlowSettings
from modelzoo.samplers.geometry import draw_geometry
from training.data.manifests import ManifestRefused, prepare_demonstration, prepare_preference, read_dataset
from training.metrics.overlap import volume_iou
from training.simulation.annotators import (
    EQUAL,
    FIRST,
    AlignmentNoise,
    Annotator,
    Judgements,
    Picks,
    calibrated_noise,
    judge,
    pair_agreement,
)
from training.simulation.datasets import Origin, merge_datasets, write_dataset
from training.simulation.eyes import as_seen, likeness
from training.simulation.proposals import Proposals, propose
from training.simulation.targets import SimulatedTarget, fresh_targets

FEW_STEPS = FlowSettings(steps=2)
ORIGIN = Origin(checkpoint="c" * 64)


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    models = build("nano", seed=3)
    torch.nn.init.constant_(
        models.ss_vae.decoder.leave.bias, 0.05
    )  # so that untrained weights give some solid
    for module in models.modules().values():
        module.eval().requires_grad_(False)
    return models


@pytest.fixture(scope="module")
def targets(models: Models) -> tuple[SimulatedTarget, ...]:
    return fresh_targets(models, count=4, seed=5)


@pytest.fixture(scope="module")
def proposals(models: Models, targets: tuple[SimulatedTarget, ...]) -> Proposals:
    return propose(models, targets, num=5, seed=7, settings=FEW_STEPS)


def _qualities(count: int = 400, num: int = 8) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(0.3, 0.1, (count, 1)) + rng.normal(0, 0.08, (count, num)), 0, 1)


def _proposals_of(quality: np.ndarray) -> Proposals:  # type: ignore[type-arg]
    shape = quality.shape
    return Proposals(
        packed=np.zeros((*shape, 1), np.uint8),
        resolution=2,
        latents=np.zeros((*shape, 1, 1, 1, 1), np.float32),
        layouts=np.zeros((*shape, 13), np.float32),
        quality=quality,
    )


def test_a_batch_across_targets_gives_what_one_target_at_a_time_gives(
    models: Models, targets: tuple[SimulatedTarget, ...], proposals: Proposals
) -> None:
    for row, target in enumerate(targets):
        alone = propose(models, [target], num=5, seed=7, settings=FEW_STEPS)
        assert np.allclose(alone.latents[0], proposals.latents[row], atol=1e-4)
        assert np.allclose(alone.layouts[0], proposals.layouts[row], atol=1e-4)
        assert (
            volume_iou(torch.from_numpy(alone.grids(0)), torch.from_numpy(proposals.grids(row))).min() > 0.99
        )


def test_a_proposal_is_the_plain_draw_of_its_noise_and_its_quality_the_plain_overlap(
    models: Models, targets: tuple[SimulatedTarget, ...], proposals: Proposals
) -> None:
    target, seen = targets[2], targets[2].condition
    own = np.random.SeedSequence([7, *target.name.encode()]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(own) >> 1)
    shape, layout = [], []
    for _ in range(5):
        shape.append(torch.randn(models.geometry.preset.latent_shape, generator=generator))
        layout.append(torch.randn(13, generator=generator))
    tokens = models.geometry.encode(*(torch.from_numpy(v)[None] for v in (seen.crop, seen.full, seen.box)))
    drawn = draw_geometry(
        models.geometry,
        tokens,
        noise_shape=torch.stack(shape),
        noise_layout=torch.stack(layout),
        settings=FEW_STEPS,
    )
    grids = models.ss_vae.decode(drawn.shape) > 0
    quality = volume_iou(grids, torch.from_numpy(target.truth))
    assert np.allclose(proposals.latents[2], drawn.shape.numpy(), atol=1e-4)
    assert np.allclose(proposals.quality[2], quality.numpy(), atol=1e-3)


def test_more_candidates_begin_with_the_same_ones(
    models: Models, targets: tuple[SimulatedTarget, ...], proposals: Proposals
) -> None:
    more = propose(models, targets[:1], num=7, seed=7, settings=FEW_STEPS)
    assert np.allclose(more.latents[0, :5], proposals.latents[0], atol=1e-4)


def test_chosen_candidates_keep_their_numbers(proposals: Proposals) -> None:
    columns = np.array([[4, 0], [1, 2], [3, 3], [0, 4]])
    few = proposals.chosen(columns)
    assert (few.num_targets, few.num_candidates) == (4, 2)
    assert np.array_equal(few.grids(1)[1], proposals.grids(1)[2])
    assert few.quality[3, 1] == proposals.quality[3, 4]
    with pytest.raises(ValueError, match="a row for each"):
        proposals.chosen(columns[:2])


def _candidates(grids: np.ndarray, overlap: np.ndarray) -> Proposals:
    """Candidates of one target from their solid grids (N x R x R x R) and overlaps (N)."""
    count, side = len(grids), grids.shape[-1]
    return Proposals(
        packed=np.packbits(grids.reshape(1, count, -1), axis=-1),
        resolution=side,
        latents=np.zeros((1, count, 1, 1, 1, 1), np.float32),
        layouts=np.zeros((1, count, 13), np.float32),
        quality=overlap[None],
    )


def test_surface_eyes_turn_a_shape_that_lies_askew(targets: tuple[SimulatedTarget, ...]) -> None:
    middles = np.indices((64, 64, 64)) - 31.5

    def plate(degrees: float) -> np.ndarray:
        angle = np.deg2rad(degrees)
        along = np.cos(angle) * middles[0] + np.sin(angle) * middles[1]
        across = np.cos(angle) * middles[1] - np.sin(angle) * middles[0]
        return (np.abs(along) < 24) & (np.abs(across) < 12) & (np.abs(middles[2]) < 6)

    target = replace(targets[0], truth=plate(0))
    askew, other = likeness(
        _candidates(np.stack([plate(6), plate(0) & (middles[0] < 0)]), np.ones(2)), [target]
    )[0]
    assert askew > 0.9 > other


def test_surface_eyes_see_a_shape_at_its_own_size_and_weigh_it_with_overlap(
    targets: tuple[SimulatedTarget, ...],
) -> None:
    whole, half, flat, nothing = (np.zeros((16, 16, 16), np.bool_) for _ in range(4))
    whole[2:14, 6:10, 6:10], half[5:11, 7:9, 7:9], flat[2:14, 2:14, 7:9] = True, True, True
    target = replace(targets[0], truth=whole)
    overlap = np.array([1.0, 1 / 8, 1 / 4, 0.0])
    candidates = _candidates(np.stack([whole, half, flat, nothing]), overlap)
    alike = likeness(candidates, [target])[0]
    assert alike[:2] == pytest.approx([1.0, 1.0], abs=0.02)  # the half is the same bar, smaller
    assert alike[2] < 0.5 and alike[3] == 0.0
    seen = as_seen("surface", candidates, [target]).quality[0]
    assert seen == pytest.approx(np.sqrt(overlap * alike))
    assert as_seen("volume", candidates, [target]) is candidates


def test_fresh_targets_are_repeatable_and_never_of_a_held_out_stream(
    models: Models, targets: tuple[SimulatedTarget, ...]
) -> None:
    again = fresh_targets(models, count=1, seed=5, start=2)[0]
    assert again.name == "5-2" == targets[2].name
    assert np.array_equal(again.image, targets[2].image) and np.array_equal(again.truth, targets[2].truth)
    assert {target.scene.kind for target in targets} == {"shifted"}
    with pytest.raises(ValueError, match="streams of simulation"):
        fresh_targets(models, count=1, seed=100_000)


@pytest.mark.parametrize("method", ["hill", "grid"])
def test_calibrated_annotators_are_right_about_three_quarters_of_the_pairs_they_are_shown(
    method: str,
) -> None:
    quality = _qualities()
    noise = calibrated_noise(quality, method=method, seed=1)  # type: ignore[arg-type]
    fresh = _qualities(4000)
    person = Annotator(name="ana", noise=noise, method=method)  # type: ignore[arg-type]
    picks = judge(_proposals_of(fresh), person, alpha=0.0, seed=9).picks
    assert pair_agreement(picks, fresh) == pytest.approx(0.75, abs=0.02)


def test_calibration_refuses_candidates_that_do_not_differ() -> None:
    with pytest.raises(ValueError, match="no noise"):
        calibrated_noise(np.full((10, 8), 0.4))
    with pytest.raises(ValueError, match="at least two"):
        calibrated_noise(np.ones((10, 1)))


def test_a_perfect_annotator_picks_the_best_and_rates_it_truly() -> None:
    quality = _qualities(50)
    person = Annotator(name="art", noise=0.0)
    judgements = judge(_proposals_of(quality), person, alpha=0.35)
    assert np.array_equal(judgements.picks.winner, quality.argmax(axis=1))
    assert np.allclose(judgements.rating, quality.max(axis=1))
    assert np.array_equal(judgements.accepted, quality.max(axis=1) >= 0.35)
    assert len(judgements.rejected(0)) == 7


def test_a_spammer_is_no_better_than_a_coin() -> None:
    quality = _qualities(4000)
    judgements = judge(_proposals_of(quality), Annotator(name="spam", noise=0.0, careless=1.0), alpha=0.5)
    assert pair_agreement(judgements.picks, quality) == pytest.approx(0.5, abs=0.02)
    assert judgements.accepted.mean() == pytest.approx(0.5, abs=0.05)


def test_what_was_called_equal_to_the_winner_is_not_rejected() -> None:
    picks = Picks(
        winner=np.array([2]),
        first=np.array([[0, 0, 2]]),
        second=np.array([[1, 2, 3]]),
        outcome=np.array([[FIRST, EQUAL, FIRST]], np.int8),
    )
    judgements = Judgements(
        annotator="ana",
        alpha=0.3,
        picks=picks,
        rating=np.array([0.5]),
        alignment=np.zeros((1, 7)),
        num_candidates=4,
    )
    assert judgements.rejected(0).tolist() == [1, 3]


def test_a_written_dataset_is_read_and_prepared_with_the_picks_and_the_true_pose(
    models: Models, targets: tuple[SimulatedTarget, ...], proposals: Proposals, tmp_path: Path
) -> None:
    still = AlignmentNoise(rotation_deg=0.0, translation=0.0, log_scale=0.0)
    judgements = judge(proposals, Annotator(name="ana", noise=0.0, alignment=still), alpha=0.0)
    counts = write_dataset(tmp_path, targets, proposals, judgements, origin=ORIGIN, pairs_per_target=1)
    dataset = read_dataset(tmp_path)
    assert (counts.demonstrations, counts.preferences) == (4, 4)
    assert (len(dataset.demonstrations), len(dataset.preferences)) == (4, 4)
    size, vae = models.geometry.preset.image_size, models.ss_vae
    first = prepare_demonstration(dataset, dataset.demonstrations[0], vae, size=size)
    chosen, rejected = prepare_preference(dataset, dataset.preferences[0], vae, size=size)
    grid = torch.from_numpy(proposals.grids(0)[judgements.picks.winner[0]])
    assert torch.allclose(first.latent, vae.encode(grid[None])[0][0], atol=1e-5)
    assert torch.equal(first.latent, chosen.latent) and not torch.equal(chosen.latent, rejected.latent)
    assert np.array_equal(first.condition.crop, targets[0].condition.crop)
    pose = dataset.demonstrations[0].pose
    assert pose is not None and pose.scale == pytest.approx(targets[0].scene.scale)
    assert np.allclose(pose.translation, targets[0].scene.translation)


def test_artists_make_the_true_shape_of_what_nobody_accepted(
    models: Models, targets: tuple[SimulatedTarget, ...], proposals: Proposals, tmp_path: Path
) -> None:
    person = Annotator(name="ana", noise=0.0)
    bar = float(np.sort(proposals.quality.max(axis=1))[1:3].mean())
    judgements = judge(proposals, person, alpha=bar)
    counts = write_dataset(
        tmp_path, targets, proposals, judgements, origin=ORIGIN, shares=("people", "artist")
    )
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    artists = [line for line in lines if line["annotator"] == "artist"]
    assert (counts.demonstrations, counts.artists, len(artists)) == (4, 4, 4)
    failed = {target.name for target, good in zip(targets, judgements.accepted, strict=True) if not good}
    assert {line["target"] for line in artists} == failed
    dataset = read_dataset(tmp_path)
    made = next(item for item in dataset.demonstrations if item.id.endswith("artist"))
    truth = next(target.truth for target in targets if made.id == f"demonstration-{target.name}-artist")
    ready = prepare_demonstration(dataset, made, models.ss_vae, size=models.geometry.preset.image_size)
    assert torch.allclose(ready.latent, models.ss_vae.encode(torch.from_numpy(truth)[None])[0][0], atol=1e-5)
    alone = write_dataset(tmp_path / "b", targets, proposals, judgements, origin=ORIGIN, shares=("artist",))
    assert (alone.demonstrations, alone.preferences) == (2, 2)


def test_merged_rounds_hold_every_line_and_yesterdays_winners_meet_todays_bar(
    models: Models, targets: tuple[SimulatedTarget, ...], proposals: Proposals, tmp_path: Path
) -> None:
    person = Annotator(name="ana", noise=0.0)
    judgements = judge(proposals, person, alpha=0.0)
    later = tuple(replace(target, name=f"later-{target.name}") for target in targets)
    write_dataset(tmp_path / "1", targets, proposals, judgements, origin=ORIGIN)
    write_dataset(tmp_path / "2", later, proposals, judgements, origin=replace(ORIGIN, round=2))
    folders = [tmp_path / "1", tmp_path / "2"]
    bar = float(np.median(judgements.rating))
    both = merge_datasets(folders, tmp_path / "both", alpha=bar)
    merged = read_dataset(tmp_path / "both")
    assert both.demonstrations == len(merged.demonstrations) == 2 * int((judgements.rating >= bar).sum())
    assert both.preferences == len(merged.preferences) == 16
    prepare_preference(merged, merged.preferences[-1], models.ss_vae, size=models.geometry.preset.image_size)
    with pytest.raises(ManifestRefused, match="two rounds both have"):
        merge_datasets([tmp_path / "1", tmp_path / "1"], tmp_path / "twice")


def test_the_same_round_is_the_same_dataset_byte_for_byte(
    targets: tuple[SimulatedTarget, ...], proposals: Proposals, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        judgements = judge(proposals, Annotator(name="ana", noise=0.1), alpha=0.1, seed=4)
        write_dataset(tmp_path / name, targets, proposals, judgements, origin=ORIGIN, seed=4)
    assert read_dataset(tmp_path / "one").sha256 == read_dataset(tmp_path / "two").sha256
