"""Rewards: what is measured of a candidate, the implicit and the learned reward, agreement, and the pre-filter."""

from __future__ import annotations

import copy
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from modelzoo.conditioning import Normaliser, encode_layout
from modelzoo.contracts import Intrinsics
from modelzoo.flow import interpolate, true_velocity
from modelzoo.registry import Models, build
from training.configs import default_config
from training.data.batches import ConditionBatch
from training.data.manifests import read_dataset
from training.losses.flow_matching import shape_error
from training.objectives.reward import RewardBatch, RewardObjective, RewardPairSource
from training.provenance import provenance
from training.reports.reward import ReportPlan, judged_in_grids, proposed, report
from training.reports.reward_table import as_markdown
from training.reward.agreement import pair_agreement, true_pairs
from training.reward.candidates import COARSE, CandidateSet, JudgedPairs, candidate_set, coarse, judged_pairs
from training.reward.files import RewardRefused, load_reward, save_reward
from training.reward.fitting import best_weights, fit_reward
from training.reward.implicit import ImplicitReward
from training.reward.judged_datasets import judged_dataset
from training.reward.measurements import (
    NAMES,
    Sight,
    consensus,
    first_hits,
    fit_to_sight,
    measured,
    sight_of,
    wholeness,
    window_on,
)
from training.reward.model import RewardModel, RewardPreset, scores
from training.reward.prefilter import best_by_reward, expected_best, recovered_yield
from training.simulation.annotators import EQUAL, FIRST, SECOND, Annotator, Judgements, Picks, judge
from training.simulation.datasets import Origin, write_dataset
from training.simulation.proposals import condition_batch, propose
from training.simulation.targets import fresh_targets

WIDTH = 12


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


def _rays(size: int, camera: Intrinsics) -> np.ndarray:  # type: ignore[type-arg]
    u, v = np.meshgrid(
        (np.arange(size) + 0.5 - camera.cx) / camera.fx, (np.arange(size) + 0.5 - camera.cy) / camera.fy
    )
    return np.stack([u, v, np.ones_like(u)], axis=-1)


def _candidates(count: int = 30, num: int = 6, seed: int = 0) -> tuple[CandidateSet, np.ndarray]:  # type: ignore[type-arg]
    """Candidates whose worth is their occupied share minus their depth error, seen by no single measurement alone."""
    generator = torch.Generator().manual_seed(seed)
    solids = (
        torch.rand((count, num, 1, 1, 1), generator=generator).expand(-1, -1, COARSE, COARSE, COARSE).clone()
    )
    measurements = torch.randn((count, num, len(NAMES)), generator=generator)
    worth = 4 * solids.mean(dim=(2, 3, 4)) - measurements[..., NAMES.index("depth_error")]
    tokens = torch.randn((count, 5, WIDTH), generator=generator)
    return CandidateSet(tokens=tokens, solids=solids, measurements=measurements), worth.double().numpy()


# what is measured


def test_first_hits_are_those_of_a_fine_march_along_each_ray() -> None:
    rng = np.random.default_rng(0)
    grid = rng.random((8, 8, 8)) < 0.1
    camera = Intrinsics(fx=14.0, fy=14.0, cx=6.0, cy=6.0, width=12, height=12)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    translation, scale = np.array([0.1, -0.05, 2.0]), 1.3
    rays = _rays(12, camera)
    found = first_hits(grid, rotation, translation, scale, rays)
    depths = np.arange(0.5, 4.0, 0.002)
    points = (depths[:, None, None, None] * rays - translation) @ rotation / scale
    cells = np.floor((points + 0.5) * 8).astype(int)
    inside = ((cells >= 0) & (cells < 8)).all(axis=-1)
    solid = inside & grid[tuple(np.clip(cells, 0, 7)[..., axis] for axis in range(3))]
    plain = np.where(solid.any(axis=0), depths[solid.argmax(axis=0)], np.inf)
    agree = np.isfinite(found) == np.isfinite(plain)
    both = np.isfinite(found) & np.isfinite(plain)
    assert agree.mean() > 0.98 and both.sum() > 20  # a march may step over a corner
    assert np.mean(np.abs(found[both] - plain[both]) < 0.004) > 0.95


def test_a_cube_that_is_where_it_was_seen_fits_perfectly_and_a_moved_one_does_not() -> None:
    camera = Intrinsics(fx=300.0, fy=300.0, cx=160.0, cy=160.0, width=320, height=320)
    grid = np.zeros((16, 16, 16), dtype=np.bool_)
    grid[4:12, 4:12, 4:12] = True
    place = np.array([0.0, 0.0, 3.0])
    seen = first_hits(grid, np.eye(3), place, 1.0, _rays(320, camera))
    depth = np.where(np.isfinite(seen), seen, 8.0)
    sight = window_on(np.isfinite(seen), depth, camera, Normaliser(shift=np.zeros(3), scale=1.0))
    right = fit_to_sight(first_hits(grid, np.eye(3), place, 1.0, sight.rays), sight, size=1.0)
    assert right["silhouette_iou"] > 0.97 and right["spill"] < 0.03 and right["depth_error"] < 0.02
    behind = fit_to_sight(first_hits(grid, np.eye(3), place * 1.1, 1.0, sight.rays), sight, size=1.0)
    assert behind["depth_bias"] == pytest.approx(0.3, abs=0.03)
    aside = first_hits(grid, np.eye(3), place + np.array([0.25, 0.0, 0.0]), 1.0, sight.rays)
    assert fit_to_sight(aside, sight, size=1.0)["silhouette_iou"] < 0.5


def test_what_lies_behind_something_nearer_is_no_spill() -> None:
    hits = np.full((4, 4), 2.0)
    mask = np.zeros((4, 4), dtype=np.bool_)
    mask[:, :2] = True
    sight = Sight(
        rays=np.ones((4, 4, 3)),
        mask=mask,
        depth=np.full((4, 4), 2.0),
        normaliser=Normaliser(shift=np.zeros(3), scale=1.0),
    )
    open_air = replace(sight, depth=np.where(mask, 2.0, 5.0))
    occluded = replace(sight, depth=np.where(mask, 2.0, 1.0))
    assert fit_to_sight(hits, open_air, size=1.0)["silhouette_iou"] == 0.5
    assert fit_to_sight(hits, open_air, size=1.0)["spill"] == 0.5
    assert fit_to_sight(hits, occluded, size=1.0)["silhouette_iou"] == 1.0
    nothing = fit_to_sight(np.full((4, 4), np.inf), open_air, size=1.0)
    assert (nothing["silhouette_iou"], nothing["depth_error"]) == (0.0, 0.3)


def test_consensus_is_the_mean_overlap_with_the_others() -> None:
    rng = np.random.default_rng(1)
    grids = rng.random((4, 8, 8, 8)) < np.array([0.1, 0.5, 0.6, 0.9])[:, None, None, None]
    plain = [
        np.mean([(a & b).sum() / (a | b).sum() for j, b in enumerate(grids) if j != i])
        for i, a in enumerate(grids)
    ]
    assert np.allclose(consensus(np.packbits(grids.reshape(4, -1), axis=1)), plain)
    assert consensus(np.zeros((1, 8), np.uint8)).tolist() == [0.0]


def test_a_cube_is_whole_and_two_are_not() -> None:
    grid = np.zeros((16, 16, 16), dtype=np.bool_)
    grid[2:6, 2:6, 2:6] = True
    one = wholeness(grid)
    assert one["log_volume"] == pytest.approx(math.log(64 / 4096))
    assert one["roughness"] == pytest.approx(6 * 16 / 64 ** (2 / 3) / 10)
    assert one["fragments"] == 0.0
    grid[10:14, 10:14, 10:14] = True
    assert wholeness(grid)["fragments"] == 0.5
    assert np.isfinite(list(wholeness(np.zeros_like(grid)).values())).all()


def test_the_true_shape_at_its_true_pose_fits_its_photograph_better_than_beside_it(models: Models) -> None:
    rows = []
    for target in fresh_targets(models, count=4, seed=1):
        scene, aside = target.scene, np.array([0.3, 0.0, 0.0])
        layouts = [
            encode_layout(scene.rotation, place, scene.scale, target.condition.normaliser)
            for place in (scene.translation, scene.translation + scene.scale * aside)
        ]
        rows.append(measured(sight_of(target), np.stack([target.truth] * 2), np.stack(layouts)))
    right, wrong = np.mean(rows, axis=0)  # at 32^3 thin parts are lost
    values = dict(zip(NAMES, right, strict=True))
    assert values["covered"] > 0.8 and values["silhouette_iou"] > 0.75 and abs(values["depth_bias"]) < 0.05
    assert (right - wrong)[NAMES.index("silhouette_iou")] > 0.2
    assert (right - wrong)[NAMES.index("depth_error")] < -0.05


# the implicit reward


def _moved(models: Models) -> ImplicitReward:
    policy = copy.deepcopy(models.geometry)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        torch.nn.init.normal_(policy.shape_out.weight, std=0.1)
    return ImplicitReward(policy=policy, reference=models.geometry, beta=3.0, draws=3, seed=2)


def _views(models: Models, count: int) -> ConditionBatch:
    return condition_batch(fresh_targets(models, count=count, seed=0))


def test_the_implicit_reward_is_the_plain_mean_over_shared_draws(models: Models) -> None:
    reward, views = _moved(models), _views(models, 2)
    latents = torch.randn(
        (2, 4, *models.geometry.preset.latent_shape), generator=torch.Generator().manual_seed(0)
    )
    found = reward.scores(views, latents)
    times, noises = reward.drawn(latents.shape[2:])
    plain = torch.zeros(2, 4)
    for row, number, draw in itertools.product(range(2), range(4), range(3)):
        errors = []
        for model in (reward.reference, reward.policy):
            tokens = model.encode(views.crop[row, None], views.full[row, None], views.box[row, None])
            data, t = model.standardise_shape(latents[row, number, None]), times[draw, None]
            noise = noises[draw, None]
            predicted, _ = model(interpolate(noise, data, t), torch.ones(1, 13), t, tokens)
            errors.append(shape_error(predicted, true_velocity(noise, data))[0])
        plain[row, number] += 3.0 * (errors[0] - errors[1]) / 3
    assert torch.allclose(found, plain, atol=1e-4) and found.std() > 1e-3


def test_a_policy_that_is_its_reference_rewards_nothing_and_swapping_the_two_turns_the_sign(
    models: Models,
) -> None:
    reward, views = _moved(models), _views(models, 1)
    latents = torch.randn(
        (1, 3, *models.geometry.preset.latent_shape), generator=torch.Generator().manual_seed(0)
    )
    same = replace(reward, policy=reward.reference)
    swapped = replace(reward, policy=reward.reference, reference=reward.policy)
    assert torch.equal(same.scores(views, latents), torch.zeros(1, 3))
    assert torch.allclose(swapped.scores(views, latents), -reward.scores(views, latents))
    turned = reward.scores(views, latents.flip(1))
    assert torch.allclose(turned, reward.scores(views, latents).flip(1), atol=1e-5)


def test_an_implicit_reward_needs_two_models_of_one_preset(models: Models) -> None:
    other = copy.deepcopy(models.geometry)
    other.preset = replace(other.preset, depth=other.preset.depth + 1)
    with pytest.raises(ValueError, match="different presets"):
        ImplicitReward(policy=other, reference=models.geometry)


# the learned reward


def test_an_untrained_reward_costs_ln_2_and_is_pulled_towards_the_chosen() -> None:
    candidates, _ = _candidates()
    model = RewardModel(RewardPreset(condition_width=WIDTH, width=8, heads=2))
    pairs = JudgedPairs(target=np.array([0, 1]), chosen=np.array([0, 1]), rejected=np.array([1, 2]))
    batch = RewardPairSource(candidates, pairs, batch_size=8, seed=0).batch(0)
    loss, _ = RewardObjective().loss(model, batch, torch.Generator())
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    after, metrics = RewardObjective().loss(model, batch, torch.Generator())
    assert after.item() < loss.item() and metrics["pair_accuracy"] > 0.5


def test_the_bradley_terry_loss_of_a_known_gap_is_the_hand_computed_one() -> None:
    model = RewardModel(RewardPreset(condition_width=WIDTH, looks=False, measurements=("covered",)))
    torch.nn.init.constant_(model.linear.weight, 1.5)
    one, two = torch.zeros(1, len(NAMES)), torch.zeros(1, len(NAMES))
    one[0, NAMES.index("covered")], two[0, NAMES.index("covered")] = 1.0, -1.0
    solid, tokens = torch.zeros(1, COARSE, COARSE, COARSE), torch.zeros(1, 2, WIDTH)
    batch = RewardBatch(
        tokens=tokens,
        chosen_solids=solid,
        chosen_measurements=one,
        rejected_solids=solid,
        rejected_measurements=two,
    )
    loss, _ = RewardObjective().loss(model, batch, torch.Generator())
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3.0)), abs=1e-6)


def test_training_finds_what_was_preferred_and_the_same_training_finds_it_again(tmp_path: Path) -> None:
    candidates, worth = _candidates()
    preset = RewardPreset(condition_width=WIDTH, width=8, heads=2)
    table = default_config("reward", steps=100)
    config = replace(table, optimizer=replace(table.optimizer, learning_rate=1e-2, ema_decay=0.9))
    model = fit_reward(candidates, true_pairs(worth), preset, config, folder=tmp_path / "one")
    fresh, fresh_worth = _candidates(seed=5)
    assert pair_agreement(scores(model, fresh).double().numpy(), true_pairs(fresh_worth)).low > 0.75
    again = fit_reward(candidates, true_pairs(worth), preset, config, folder=tmp_path / "two")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_best_weights_are_where_a_plain_search_ends() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)) + np.array([0.5, -0.2, 0.0])

    def cost(weights: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(np.logaddexp(0, -rows @ weights).mean() + 0.01 * weights @ weights)

    plain = minimize(cost, np.zeros(3), tol=1e-10).x
    assert np.allclose(best_weights(torch.from_numpy(rows)).numpy(), plain, atol=1e-3)


def test_a_reward_without_pairs_or_with_foreign_ones_is_refused() -> None:
    candidates, _ = _candidates(count=2)
    none = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="no judged pairs"):
        RewardPairSource(
            candidates, JudgedPairs(target=none, chosen=none, rejected=none), batch_size=2, seed=0
        )
    foreign = JudgedPairs(target=np.array([2]), chosen=np.array([0]), rejected=np.array([1]))
    with pytest.raises(ValueError, match="not among the candidates"):
        RewardPairSource(candidates, foreign, batch_size=2, seed=0)
    with pytest.raises(ValueError, match="unknown measurements"):
        RewardPreset(condition_width=WIDTH, measurements=("charm",))


def test_a_saved_reward_comes_back_the_same_and_is_refused_by_name_where_it_does_not_fit(
    tmp_path: Path,
) -> None:
    candidates, _ = _candidates(count=3)
    model = RewardModel(RewardPreset(condition_width=WIDTH, width=8, heads=2))
    torch.nn.init.normal_(model.head.weight)
    save_reward(tmp_path, model.eval(), encoder="a" * 64, encoder_preset="nano", trained={"seed": 0})
    manifest, loaded = load_reward(tmp_path, encoder="a" * 64)
    assert manifest.encoder_preset == "nano"
    assert torch.allclose(scores(loaded, candidates), scores(model, candidates), atol=1e-5)
    with pytest.raises(RewardRefused, match=r"encoder of checkpoint a{64}") as refused:
        load_reward(tmp_path, encoder="b" * 64)
    assert refused.value.code == "encoder_mismatch"
    document = json.loads((tmp_path / "reward.json").read_text())
    (tmp_path / "reward.json").write_text(
        json.dumps({**document, "preset": {**document["preset"], "width": 16}})
    )
    assert _refusal(tmp_path) == "weights_do_not_fit"
    (tmp_path / "reward.json").write_text(json.dumps({**document, "format": "other"}))
    assert _refusal(tmp_path) == "format_unknown"
    (tmp_path / "reward.json").write_text(json.dumps(document))
    weights = bytearray((tmp_path / "reward.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "reward.safetensors").write_bytes(weights)
    assert _refusal(tmp_path) == "weights_hash_mismatch"


def _refusal(folder: Path) -> str:
    with pytest.raises(RewardRefused) as refused:
        load_reward(folder, encoder="a" * 64)
    return refused.value.code


def test_only_comparisons_that_were_decided_become_pairs() -> None:
    picks = Picks(
        winner=np.array([2]),
        first=np.array([[0, 0, 2]]),
        second=np.array([[1, 2, 3]]),
        outcome=np.array([[FIRST, SECOND, EQUAL]], np.int8),
    )
    judgements = Judgements(
        annotator="ana",
        alpha=0.0,
        picks=picks,
        rating=np.ones(1),
        alignment=np.zeros((1, 7)),
        num_candidates=4,
    )
    pairs = judged_pairs(judgements)
    assert list(zip(pairs.target, pairs.chosen, pairs.rejected, strict=True)) == [(0, 0, 1), (0, 2, 0)]


def test_coarse_solids_are_shares_of_their_cells() -> None:
    grids = np.zeros((1, 32, 32, 32), dtype=np.bool_)
    grids[0, :2, :2, 0] = True
    assert coarse(grids)[0, 0, 0, 0] == 0.5 and coarse(grids).sum() == 0.5
    with pytest.raises(ValueError, match="no cells"):
        coarse(np.zeros((1, 24, 24, 24), dtype=np.bool_))


# agreement and the pre-filter


def test_agreement_counts_ties_as_half_and_resamples_whole_targets() -> None:
    rewards = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    pairs = JudgedPairs(target=np.array([0, 0, 1]), chosen=np.array([0, 1, 0]), rejected=np.array([1, 2, 1]))
    found = pair_agreement(rewards, pairs)
    assert found.mean == pytest.approx(0.5) and found.count == 3
    assert (found.low, found.high) == (0.0, 0.75)  # all draws of the second target, or of the first
    none = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="at least one"):
        pair_agreement(rewards, JudgedPairs(target=none, chosen=none, rejected=none))


def test_the_expected_best_of_eight_is_the_mean_over_all_draws_of_eight() -> None:
    quality = np.random.default_rng(0).random((3, 10))
    plain = [
        np.mean([max(row[list(some)]) for some in itertools.combinations(range(10), 4)]) for row in quality
    ]
    assert np.allclose(expected_best(quality, keep=4), plain)
    assert np.allclose(expected_best(quality, keep=10), quality.max(axis=1))
    assert np.allclose(expected_best(quality, keep=1), quality.mean(axis=1))


def test_a_perfect_reward_recovers_everything_and_a_blind_one_nothing() -> None:
    rng = np.random.default_rng(0)
    quality = rng.random((400, 50))
    assert recovered_yield(quality, quality).recovered == pytest.approx(1.0)
    assert abs(recovered_yield(rng.random((400, 50)), quality).recovered) < 0.15
    assert recovered_yield(-quality, quality).recovered < -1.0
    noisy = recovered_yield(quality + 0.3 * rng.normal(size=quality.shape), quality).as_dict()["recovered"]
    assert isinstance(noisy, dict) and 0.2 < noisy["low"] < noisy["mean"] < noisy["high"] < 1.0


def test_the_filter_keeps_the_highest_rewards_first_and_refuses_broken_ones() -> None:
    rewards = np.array([[0.1, 0.9, 0.5, 0.9]])
    assert best_by_reward(rewards, keep=3).tolist() == [[1, 3, 2]]
    with pytest.raises(ValueError, match="not finite"):
        best_by_reward(np.array([[0.1, np.nan]]), keep=1)
    with pytest.raises(ValueError, match="cannot keep"):
        best_by_reward(rewards, keep=5)


def test_the_report_measures_every_reward_on_held_out_targets(models: Models, tmp_path: Path) -> None:
    plan = ReportPlan(num_training=3, num_held_out=3, pool=10, alpha=0.02, steps=3)
    training = proposed(models, count=3, num=8, seed=0)
    held_out = proposed(models, count=3, num=10, seed=1)
    found = report(
        training,
        held_out,
        plan,
        annotator=Annotator(name="ana", noise=0.01),
        workdir=tmp_path,
        implicit=_moved(models),
        keep_in=tmp_path / "reward",
        encoder=("a" * 64, "nano"),
    )
    names = {
        "learned",
        "learned_without_consensus",
        "measurements_alone",
        "implicit",
        "consensus",
        "silhouette_iou",
    }
    assert isinstance(found["agreement"], dict) and isinstance(found["prefilter"], dict)
    assert names <= found["agreement"].keys() == found["prefilter"].keys()
    table = as_markdown(json.loads(json.dumps({**found, "provenance": provenance(seed=0)})))
    assert all(f"| {name.replace('_', ' ')} | " in table for name in names)
    assert load_reward(tmp_path / "reward", encoder="a" * 64)[0].trained["seed"] == 0
    pairs = judged_in_grids(held_out.proposals, Annotator(name="ana", noise=0.0, indifference=0.0), seed=0)
    assert len(pairs) == 3 * (7 + 1) and {int(c) // 8 for c in pairs.chosen} == {0, 1}
    assert all(a // 8 == b // 8 for a, b in zip(pairs.chosen, pairs.rejected, strict=True))


# judged datasets


def test_a_frozen_datasets_pairs_measure_like_the_proposals_they_were_written_from(
    models: Models, tmp_path: Path
) -> None:
    targets = fresh_targets(models, count=3, seed=8)
    proposals = propose(models, targets, num=4, seed=0)
    judgements = judge(proposals, Annotator(name="ana", noise=0.0, indifference=0.0), alpha=1.0)
    origin, people = Origin(checkpoint="c" * 64), tmp_path / "people"
    write_dataset(people, targets, proposals, judgements, origin=origin, pairs_per_target=3)
    candidates, pairs = judged_dataset(read_dataset(people), models)
    drawn = candidate_set(models, targets, proposals)
    assert len(pairs) == 9 and candidates.solids.shape[:2] == (3, 4)
    assert torch.allclose(candidates.tokens, drawn.tokens, atol=1e-5)
    for row in range(3):
        order = [
            int((drawn.solids[row] == one).flatten(1).all(dim=1).int().argmax())
            for one in candidates.solids[row]
        ]
        assert sorted(order) == [0, 1, 2, 3]
        assert torch.allclose(candidates.measurements[row], drawn.measurements[row, order], atol=1e-4)
        chosen = {order[number] for number in pairs.chosen[pairs.target == row]}
        assert chosen == {int(proposals.quality[row].argmax())}


def test_artists_meshes_teach_a_reward_nothing_and_a_dataset_of_them_alone_is_refused(
    models: Models, tmp_path: Path
) -> None:
    targets = fresh_targets(models, count=2, seed=8)
    proposals = propose(models, targets, num=2, seed=0)
    judgements = judge(proposals, Annotator(name="ana", noise=0.0), alpha=1.0)
    write_dataset(
        tmp_path, targets, proposals, judgements, origin=Origin(checkpoint="c" * 64), shares=("artist",)
    )
    assert len(read_dataset(tmp_path).preferences) == 2
    with pytest.raises(ValueError, match="no preference pair"):
        judged_dataset(read_dataset(tmp_path), models)
