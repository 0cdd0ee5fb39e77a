"""Objectives at preset nano, with numbers worked out by hand.

An untrained model predicts skip(t) x_t + scale_out(t) b, with b the bias of its last layer: at t = 1/2 skip is 0 and
scale_out is sqrt(2); at t = 0 skip is -1. Every figure below follows from that.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modelzoo.flow import sample_times
from modelzoo.models.cells import CellBatch, batch_cells
from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from modelzoo.models.probes import Probes
from modelzoo.models.texture_flow import TextureCondition, TextureFlow
from modelzoo.presets import preset_named
from modelzoo.samplers.geometry import draw_geometry
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.batches import ConditionBatch, DemonstrationBatch, PreferenceBatch
from training.data.samples import Mixture
from training.data.sources import FreshScenes
from training.data.texture_manifests import TextureCandidates, TexturePreferenceBatch
from training.data.trajectories import (
    TeacherPlan,
    TrajectoriesRefused,
    TrajectoryBatch,
    TrajectorySource,
    load_trajectories,
    record_trajectories,
    recorded_at,
    save_trajectories,
    seen_by,
    teacher_trajectory,
)
from training.loop.fingerprint import weights_sha256
from training.losses.flow_matching import LayoutWeights
from training.objectives.flow_matching import FlowMatchingObjective, TimeSampler
from training.objectives.frozen import FrozenWeights, ReferenceChanged
from training.objectives.layout import LayoutObjective
from training.objectives.preference import PreferenceObjective
from training.objectives.shortcut import SelfConsistencyObjective, TrajectoryObjective
from training.objectives.texture import TexturePreferenceObjective, noise_at

NANO = preset_named("nano")
HALF = TimeSampler(mean=0.0, std=0.0)  # every t is 1/2
NO_LAYOUT = LayoutWeights(rotation=0.0, translation=0.0, scale=0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _model(bias: float = 0.0) -> GeometryModel:
    model = GeometryModel(NANO.geometry)
    torch.nn.init.constant_(model.shape_out.bias, bias)
    return model


def _disturbed() -> GeometryModel:
    model = GeometryModel(NANO.geometry)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model


def _views(count: int) -> ConditionBatch:
    size = NANO.geometry.image_size
    crop, full = torch.rand(2, count, 8, size, size)
    return ConditionBatch(crop=crop, full=full, box=torch.rand(count, 4))


def _latents(count: int, value: float) -> Tensor:
    return torch.full((count, *NANO.geometry.latent_shape), value)


def _demonstrations(count: int) -> DemonstrationBatch:
    return DemonstrationBatch(
        condition=_views(count),
        shape=torch.randn(_latents(count, 0.0).shape),
        layout=torch.randn(count, LAYOUT_DIM),
        has_layout=torch.ones(count, dtype=torch.bool),
    )


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_dpo_of_a_policy_that_is_its_reference_is_ln_2() -> None:
    """To the last bit where both run the same kernels, and up to their rounding where the policy keeps gradients."""
    reference = _disturbed()
    policy = copy.deepcopy(reference)
    pairs = PreferenceBatch(condition=_views(4), chosen=_latents(4, 1.0), rejected=_latents(4, -1.0))
    objective = PreferenceObjective(reference=reference)
    assert objective.loss(policy, pairs, _generator())[0].item() == pytest.approx(math.log(2), abs=1e-5)
    loss, metrics = objective.loss(policy.requires_grad_(False), pairs, _generator())
    assert loss.item() == torch.nn.functional.softplus(torch.zeros(())).item() == pytest.approx(math.log(2))
    assert metrics["chosen_rise"] == metrics["rejected_rise"] == 0.0


@pytest.mark.parametrize("draws", [1, 3])
def test_dpo_is_a_closed_form_of_the_means_because_noise_and_t_are_shared(draws: int) -> None:
    """At t = 1/2: error = |sqrt(2) b - v|^2, so margin = -2 sqrt(2) b (mean chosen - mean rejected): noise cancels."""
    objective = PreferenceObjective(reference=_model(), beta=2.0, times=HALF, draws=draws)
    pairs = PreferenceBatch(condition=_views(3), chosen=_latents(3, 1.0), rejected=_latents(3, -0.5))
    policy = _model(bias=0.1)
    loss, metrics = objective.loss(policy, pairs, _generator())
    margin = -2 * math.sqrt(2) * 0.1 * 1.5
    assert loss.item() == pytest.approx(math.log1p(math.exp(2.0 * margin)), abs=1e-5)
    assert metrics["chosen_rise"] - metrics["rejected_rise"] == pytest.approx(margin, abs=1e-5)
    assert metrics["implicit_accuracy"] == 1.0


def test_dpo_pulls_towards_the_chosen_with_the_slope_worked_out_by_hand() -> None:
    """dL/db at b = 0 is beta sigmoid(0) (-2 sqrt(2)) (mean chosen - mean rejected)."""
    objective, policy = PreferenceObjective(reference=_model(), beta=3.0, times=HALF), _model()
    pairs = PreferenceBatch(condition=_views(2), chosen=_latents(2, 1.0), rejected=_latents(2, 0.0))
    swapped = PreferenceBatch(condition=pairs.condition, chosen=pairs.rejected, rejected=pairs.chosen)
    slopes = []
    for batch in (pairs, swapped):
        loss, _ = objective.loss(policy, batch, _generator())
        slopes.append(torch.autograd.grad(loss, policy.shape_out.bias)[0].sum().item())
    assert slopes == pytest.approx([-3 * math.sqrt(2), 3 * math.sqrt(2)], rel=1e-4)


@pytest.mark.parametrize("draws", [1, 3])
def test_the_anchor_adds_the_chosen_half_s_own_flow_error_over_all_draws(draws: int) -> None:
    pairs = PreferenceBatch(condition=_views(2), chosen=_latents(2, 1.0), rejected=_latents(2, 0.0))
    losses = [
        PreferenceObjective(reference=_model(), anchor=anchor, draws=draws, times=HALF)
        .loss(_model(), pairs, _generator())[0]
        .item()
        for anchor in (0.0, 0.3)
    ]
    same = _generator()
    sample_times(2 * draws, mean=0.0, std=0.0, generator=same)
    noise = torch.randn((2 * draws, *pairs.chosen.shape[1:]), generator=same)
    assert losses[1] - losses[0] == pytest.approx(0.3 * (1.0 - noise).square().mean().item(), rel=1e-4)


def test_a_reference_that_something_trains_is_refused_by_its_hash() -> None:
    reference = _model()
    objective = PreferenceObjective(reference=reference)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert objective.frozen.sha256 == weights_sha256(reference)
    objective.frozen.check()
    with torch.no_grad():
        reference.shape_out.bias[0] += 1e-6
    with pytest.raises(ReferenceChanged, match=objective.frozen.sha256):
        objective.frozen.check()


def test_a_run_meets_a_changed_reference_within_the_calls_it_glances_at() -> None:
    model = torch.nn.Linear(2, 2)
    frozen = FrozenWeights(model, name="the reference", check_every=3)
    with torch.no_grad():
        model.weight[0, 0] += 1.0
    frozen.glance()
    frozen.glance()
    with pytest.raises(ReferenceChanged, match="the reference was"):
        frozen.glance()


def test_self_consistency_of_an_untrained_model_is_a_quarter_of_the_noise() -> None:
    """d = 1/2 from t = 0: velocities -x, then 0 half-way, so the target is -x/2 while one step says -x."""
    objective = SelfConsistencyObjective(share=1.0, finest=2, guided_share=0.0, weights=NO_LAYOUT)
    loss, metrics = objective.loss(_model(), _demonstrations(16), _generator())
    assert loss.item() == pytest.approx(0.25, rel=0.1) and metrics == {"consistency": loss.item()}


def test_self_consistency_mixes_its_rows_with_flow_matching_by_their_number() -> None:
    batch, model = _demonstrations(8), _disturbed()
    quarter = SelfConsistencyObjective(share=0.25, flow=FlowMatchingObjective(place_weight=0.0))
    loss, metrics = quarter.loss(model, batch, _generator())
    flow = metrics["shape"] + metrics["layout"]
    assert loss.item() == pytest.approx((6 * flow + 2 * metrics["consistency"]) / 8, rel=1e-5)


def test_guidance_of_the_bootstrapped_steps_moves_the_shape_s_target_but_not_the_layout_s() -> None:
    """The layout's second step sees a shape that guidance has moved, so its own target moves a little."""
    model, batch = _disturbed(), _demonstrations(4)
    parts = []
    for share in (0.0, 1.0):
        for weights in (NO_LAYOUT, LayoutWeights()):
            objective = SelfConsistencyObjective(
                share=1.0, finest=2, guided_share=share, weights=weights, cfg_strength=2.0
            )
            parts.append(objective.loss(model, batch, _generator())[0].item())
    shape, both, guided_shape, guided_both = parts
    assert guided_shape != pytest.approx(shape, rel=1e-3)
    assert guided_both - guided_shape == pytest.approx(both - shape, rel=0.02)


def _walk(first: Tensor, second: Tensor, third: Tensor) -> TrajectoryBatch:
    rows = len(first)
    return TrajectoryBatch(
        tokens=torch.randn(rows, 3, NANO.geometry.condition.width),
        shape=torch.stack([first, second, third], dim=1),
        layout=torch.zeros(rows, 3, LAYOUT_DIM),
        times=(0.0, 0.5, 1.0),
    )


def test_a_student_that_walks_as_the_teacher_did_has_no_loss_and_a_step_missed_by_1_costs_1() -> None:
    x = torch.randn(_latents(2, 0.0).shape)
    objective = TrajectoryObjective(teacher=_model())
    right = objective.loss(_model(), _walk(x, x / 2, x / 2), _generator())
    assert right[0].item() == pytest.approx(0.0, abs=1e-9) and right[1]["missed"] == pytest.approx(
        0.0, abs=1e-9
    )
    loss, metrics = objective.loss(_model(), _walk(x, x / 2, x / 2 + 0.5), _generator())
    assert loss.item() == pytest.approx(0.5, rel=1e-5)  # mean of 0 and (0.5 / 0.5)^2
    assert metrics["shape_step_2"] == pytest.approx(1.0, rel=1e-5)
    assert metrics["missed"] == pytest.approx(0.25, rel=1e-5)


def test_the_student_goes_on_from_where_it_is_not_from_where_the_teacher_was() -> None:
    """The teacher's middle state is off by 0.1; the second step starts from the student's own, which is right."""
    x = torch.randn(_latents(2, 0.0).shape)
    objective = TrajectoryObjective(teacher=_model())
    _, metrics = objective.loss(_model(), _walk(x, x / 2 + 0.1, x / 2), _generator())
    assert metrics["shape_step_1"] == pytest.approx(0.04, rel=1e-4)  # (0.1 / 0.5)^2
    assert metrics["shape_step_2"] == pytest.approx(0.0, abs=1e-9)


def test_the_first_step_learns_from_where_the_walk_ends() -> None:
    """Only the second step misses; a bias of every step still gets the first step's share of that miss, too.

    With bias b both steps of 1/2 move by scale_out(t) b / 2, scale_out being 1 at t = 0 and sqrt 2 at t = 1/2: the end
    misses by m = (1 + sqrt 2) b / 2 - 1/2, and the loss is the mean of b^2 and (2 m)^2.
    """
    x = torch.randn(_latents(2, 0.0).shape)
    policy = _model(bias=0.1)
    objective = TrajectoryObjective(teacher=_model(), weights=NO_LAYOUT, keep_weight=0.0)
    loss, metrics = objective.loss(policy, _walk(x, x / 2, x / 2 + 0.5), _generator())
    assert "kept" not in metrics
    both = 1 + 2**0.5
    assert loss.item() == pytest.approx((0.01 + (both * 0.1 - 1) ** 2) / 2, rel=1e-3)
    slope = torch.autograd.grad(loss, policy.shape_out.bias)[0].sum().item()
    assert slope == pytest.approx(0.1 + (both * 0.1 - 1) * both, rel=1e-3)


def test_the_flow_is_kept_as_the_teacher_has_it_between_the_recorded_states() -> None:
    """At t = 1/2 +- the student's bias b adds scale_out(t) b to every velocity: (b / sqrt(t^2 + (1 - t)^2))^2."""
    x = torch.randn(_latents(2, 0.0).shape)
    walk = _walk(x, x / 2, x / 2)
    objective = TrajectoryObjective(teacher=_disturbed(), weights=NO_LAYOUT)
    same = objective.loss(objective.teacher, walk, _generator())[1]["kept"]
    assert same == 0.0
    objective, generator = TrajectoryObjective(teacher=_model(), weights=NO_LAYOUT), _generator()
    loss, metrics = objective.loss(_model(bias=0.1), walk, generator)
    again = _generator()
    number, share = torch.randint(2, (2,), generator=again), torch.rand(2, generator=again)
    t = (number + share) / 2
    assert metrics["kept"] == pytest.approx((0.01 / (t**2 + (1 - t) ** 2)).mean().item(), rel=1e-4)
    light = TrajectoryObjective(teacher=_model(), weights=NO_LAYOUT, keep_weight=0.0)
    without = light.loss(_model(bias=0.1), walk, _generator())[0]
    assert (loss - without).item() == pytest.approx(metrics["kept"], rel=1e-4)


def test_a_teacher_that_something_trains_is_refused() -> None:
    teacher = _model()
    objective = TrajectoryObjective(teacher=teacher)
    with torch.no_grad():
        teacher.shape_out.bias += 0.5
    with pytest.raises(ReferenceChanged, match="the teacher was"):
        objective.frozen.check()


def test_recorded_trajectories_end_where_the_guided_sampler_ends() -> None:
    model, plan = _disturbed().eval(), TeacherPlan(steps=6, student_steps=2, rescale_t=3.0, cfg_strength=1.5)
    tokens = torch.randn(2, 5, NANO.geometry.condition.width)
    shape, layout = torch.randn(_latents(2, 0.0).shape), torch.randn(2, LAYOUT_DIM)
    walked = teacher_trajectory(model, tokens, shape, layout, plan)
    drawn = draw_geometry(model, tokens, noise_shape=shape, noise_layout=layout, settings=plan.settings())
    torch.testing.assert_close(walked.shape[:, -1], drawn.shape, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(walked.layout[:, -1], drawn.layout, rtol=1e-5, atol=1e-5)
    assert torch.equal(walked.shape[:, 0], shape) and walked.times == pytest.approx((0.0, 0.25, 1.0))


def test_trajectories_are_kept_with_their_teacher_and_refused_for_another(tmp_path: Path) -> None:
    teacher, plan = _disturbed().eval(), TeacherPlan(steps=2, student_steps=2)
    recorded = record_trajectories(teacher, [_views(2), _views(1)], plan, seed=0)
    save_trajectories(recorded, tmp_path / "walks")
    again = load_trajectories(tmp_path / "walks", teacher=recorded.teacher, plan=plan)
    assert len(again) == 3 and torch.equal(again.data.shape, recorded.data.shape)
    one, other = (TrajectorySource(again, batch_size=4, seed=1).batch(2) for _ in range(2))
    assert torch.equal(one.tokens, other.tokens) and one.shape.dtype == torch.float32
    with pytest.raises(TrajectoriesRefused, match="the teacher is another"):
        load_trajectories(tmp_path / "walks", teacher="another", plan=plan)
    with pytest.raises(TrajectoriesRefused, match="was drawn with"):
        load_trajectories(tmp_path / "walks", teacher=recorded.teacher, plan=TeacherPlan(steps=4))
    with pytest.raises(TrajectoriesRefused, match="cannot be read"):
        load_trajectories(tmp_path / "nothing", teacher=recorded.teacher, plan=plan)


def test_a_resumed_run_reads_what_the_first_one_recorded(tmp_path: Path) -> None:
    teacher, plan = _disturbed().eval(), TeacherPlan(steps=2, student_steps=2)
    vae = SparseStructureVAE(NANO.geometry.structure).eval()
    scenes = FreshScenes(vae, size=56, mixture=Mixture(), stream=7, batch_size=3)
    conditions = list(seen_by(scenes, batches=1, seed=0, points_dropout=1.0))
    assert not conditions[0].box[:, 3].any() and not conditions[0].crop[:, 4:].any()
    file = tmp_path / "new" / "walks"
    first = recorded_at(file, teacher=teacher, conditions=conditions, plan=plan, seed=0)
    second = recorded_at(file, teacher=teacher, conditions=[], plan=plan, seed=0)
    assert len(first) == 3 and torch.equal(first.data.layout, second.data.layout)
    with pytest.raises(TrajectoriesRefused):
        recorded_at(file, teacher=_disturbed(), conditions=[], plan=plan, seed=0)


def test_nothing_recorded_and_a_grid_that_does_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="no targets"):
        record_trajectories(_model(), [], TeacherPlan(), seed=0)
    with pytest.raises(ValueError, match="25 steps"):
        TeacherPlan(steps=25, student_steps=4)


def test_distilling_brings_two_steps_closer_to_the_teacher_than_its_own_two_steps() -> None:
    teacher = _disturbed().eval().requires_grad_(False)
    torch.nn.init.normal_(teacher.shape_out.weight, std=0.3)
    plan = TeacherPlan(steps=8, student_steps=2, cfg_strength=2.0)
    recorded = record_trajectories(teacher, [_views(8)], plan, seed=0)
    source = TrajectorySource(recorded, batch_size=8, seed=0)
    student = copy.deepcopy(teacher).requires_grad_(True)
    student.freeze("condition")
    optimizer = torch.optim.Adam([p for p in student.parameters() if p.requires_grad], lr=2e-3)
    missed, objective = [], TrajectoryObjective(teacher=teacher)
    for step in range(30):
        loss, metrics = objective.loss(student, source.batch(step), _generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        missed.append(metrics["missed"])
    assert sum(missed[-5:]) < 0.5 * sum(missed[:5])


def test_the_layout_stage_leaves_every_shape_as_it_was_and_learns_poses() -> None:
    model, batch = _disturbed(), _demonstrations(4)
    model.freeze("shape", "shared", "condition")
    before, first = copy.deepcopy(model), model.state_dict()
    first = {name: value.clone() for name, value in first.items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    objective = LayoutObjective(condition_dropout=0.0, points_dropout=0.0)
    losses = []
    for _ in range(8):
        loss, _ = objective.loss(model, batch, _generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, first[name])}
    assert changed and all(name.startswith("layout_") or ".layout." in name for name in changed)
    seen = (torch.randn(batch.shape.shape), batch.layout, torch.full((4,), 0.3))
    tokens = torch.randn(4, 5, NANO.geometry.condition.width)
    with torch.no_grad():
        then, now = before(*seen, tokens), model(*seen, tokens)
    assert torch.equal(then[0], now[0]) and not torch.equal(then[1], now[1])


def test_the_layout_stage_counts_only_targets_whose_pose_is_known() -> None:
    """Untrained, at t = 1/2, nothing is predicted: a token's error is the mean of its squared velocity."""
    batch = _demonstrations(2)
    batch.layout.fill_(1.0)
    batch.has_layout[1] = False
    weights = LayoutWeights(rotation=0.0, translation=2.0, scale=0.0)
    objective = LayoutObjective(weights=weights, times=HALF)
    loss, metrics = objective.loss(_model(), batch, _generator())
    same = _generator()
    for _ in range(2):
        torch.rand(2, generator=same)
    sample_times(2, mean=0.0, std=0.0, generator=same)
    torch.randn(batch.shape.shape, generator=same)
    noise = torch.randn(2, LAYOUT_DIM, generator=same)
    assert loss.item() == pytest.approx(2.0 * (1.0 - noise[0, 6:9]).square().mean().item(), rel=1e-4)
    batch.has_layout[0] = False
    assert objective.loss(_model(), batch, _generator())[0].item() == 0.0
    assert metrics["layout"] == loss.item()


def _candidates(cells: CellBatch, latent: Tensor) -> TextureCandidates:
    n, b = len(cells.coords), cells.size
    generator = torch.Generator().manual_seed(1)
    probes = Probes(
        view=torch.rand(b, 4, 32, 32, generator=generator),
        pixels=torch.rand(n, 8, 2, generator=generator) * 2 - 1,
        depth=torch.zeros(n, 8, 2),
        known_depth=torch.ones(b),
        field=torch.rand(n, 64, generator=generator),
        view_direction=torch.tensor([[0.0, 0.0, 1.0]]).expand(b, 3),
        guess=torch.zeros(n, 4),
    )
    return TextureCandidates(cells=cells, condition=TextureCondition(probes=probes), latent=latent)


def _flow(bias: float = 0.0) -> TextureFlow:
    torch.manual_seed(4)
    model = TextureFlow(NANO.texture, NANO.latent)
    torch.nn.init.constant_(model.to_velocity.bias, bias)
    return model


CELLS = [torch.tensor([[0, 0, 0], [0, 0, 1], [5, 5, 5]]), torch.tensor([[7, 7, 7]])]


def test_texture_dpo_is_ln_2_at_its_reference_and_a_closed_form_beside_it() -> None:
    """As for shapes, by each candidate's own mean: the first chosen has latent 1, the second 0.5, the rejected 0."""
    cells = batch_cells(CELLS, grid=8)
    latent = torch.tensor([1.0, 1.0, 1.0, 0.5])[:, None].expand(-1, 4).contiguous()
    pairs = TexturePreferenceBatch(
        chosen=_candidates(cells, latent), rejected=_candidates(cells, torch.zeros(4, 4))
    )
    objective = TexturePreferenceObjective(reference=_flow(), beta=2.0, times=HALF)
    assert objective.loss(_flow(), pairs, _generator())[0].item() == pytest.approx(math.log(2), rel=1e-7)
    loss, metrics = objective.loss(_flow(bias=0.1), pairs, _generator())
    margins = [-2 * math.sqrt(2) * 0.1 * gap for gap in (1.0, 0.5)]
    by_hand = sum(math.log1p(math.exp(2.0 * margin)) for margin in margins) / 2
    assert loss.item() == pytest.approx(by_hand, abs=1e-5)
    assert metrics["chosen_rise"] - metrics["rejected_rise"] == pytest.approx(sum(margins) / 2, abs=1e-5)


def test_candidates_of_different_shapes_share_noise_where_their_cells_coincide() -> None:
    noise = torch.randn(2, 8, 8, 8, 4)
    one = batch_cells(CELLS, grid=8)
    other = batch_cells([torch.tensor([[0, 0, 1], [2, 2, 2]]), torch.tensor([[7, 7, 7], [1, 1, 1]])], grid=8)
    mine, theirs = noise_at(noise, one), noise_at(noise, other)
    assert torch.equal(mine[1], theirs[0]) and torch.equal(mine[3], theirs[2])
    assert torch.equal(mine[2], noise[0, 5, 5, 5]) and not torch.equal(mine[0], theirs[0])


def test_a_pair_with_different_cells_trains_and_pulls_both_ways_alike() -> None:
    first = _candidates(batch_cells(CELLS, grid=8), torch.randn(4, 4))
    second = _candidates(batch_cells([CELLS[0][:2], CELLS[0]], grid=8), torch.randn(5, 4))
    policy = _flow()
    objective = TexturePreferenceObjective(reference=_flow(), beta=1.0)
    slopes = []
    for chosen, rejected in ((first, second), (second, first)):
        loss, _ = objective.loss(
            policy, TexturePreferenceBatch(chosen=chosen, rejected=rejected), _generator()
        )
        slopes.append(torch.autograd.grad(loss, policy.to_velocity.weight)[0])
    assert slopes[0].abs().max() > 0
    torch.testing.assert_close(slopes[0], -slopes[1], rtol=1e-4, atol=1e-6)


def test_a_changed_texture_reference_is_refused() -> None:
    reference = _flow()
    objective = TexturePreferenceObjective(reference=reference)
    reference.to_velocity.bias.data[0] = 1.0
    with pytest.raises(ReferenceChanged, match="texture reference"):
        objective.frozen.check()
