"""Where patches lie on the object: guessed, fitted to a pose, learned from layouts, and mirrored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from modelzoo.encoders.condition import ConditionEncoder, Views
from modelzoo.encoders.places import PatchPoints, fitted_pose, patch_points
from modelzoo.frames import rotation_from_wxyz
from modelzoo.models.geometry import GeometryModel
from modelzoo.presets import preset_named
from training.data.batches import (
    DemonstrationBatch,
    demonstration_batch,
    mirrored_batch,
)
from training.data.samples import Mixture, make_example
from training.losses.flow_matching import place_error
from training.objectives.flow_matching import FlowMatchingObjective

ROTATION = rotation_from_wxyz([0.8, 0.3, -0.2, 0.4])
TRANSLATION, SCALE = np.array([0.3, -0.1, 0.2]), 0.6


def _seen(places: Tensor, *, weights: Tensor | None = None) -> PatchPoints:
    rotation = torch.from_numpy(ROTATION).float()
    points = SCALE * places @ rotation.T + torch.from_numpy(TRANSLATION).float()
    return PatchPoints(points=points, weights=torch.ones(places.shape[:2]) if weights is None else weights)


def test_the_fitted_pose_is_the_one_that_made_the_points() -> None:
    places = torch.rand(3, 20, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    pose = fitted_pose(places, _seen(places))
    expected = torch.from_numpy(
        np.concatenate([ROTATION[:, 0], ROTATION[:, 1], TRANSLATION, [np.log(SCALE)]])
    )
    torch.testing.assert_close(pose[:, :10], expected.float().expand(3, 10), atol=1e-5, rtol=1e-5)
    assert pose[:, 10].max() < 1e-5 and pose[:, 11].tolist() == [1.0] * 3


def test_the_pose_is_fitted_in_float32_under_autocast_too() -> None:
    places = torch.rand(3, 20, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    seen = _seen(places)
    with torch.autocast("cpu", torch.bfloat16):
        pose = fitted_pose(places, seen)
    assert torch.equal(pose, fitted_pose(places, seen))


def test_a_patch_that_weighs_nothing_does_not_bend_the_fit() -> None:
    places = torch.rand(1, 20, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    weights = torch.ones(1, 20)
    weights[0, 7] = 0.0
    seen = _seen(places, weights=weights)
    seen.points[0, 7] += 9.0
    assert fitted_pose(places, seen)[0, 10] < 1e-5


def test_a_mirror_image_is_fitted_by_a_rotation_not_a_reflection() -> None:
    places = torch.rand(1, 30, 3, generator=torch.Generator().manual_seed(2)) - 0.5
    seen = PatchPoints(points=places * torch.tensor([-1.0, 1.0, 1.0]), weights=torch.ones(1, 30))
    pose = fitted_pose(places, seen)[0]
    first, second = pose[:3], pose[3:6]
    assert float(first @ second) == pytest.approx(0.0, abs=1e-5)
    assert float(first.norm()) == pytest.approx(1.0, abs=1e-5) and float(pose[10]) > 0.01


def test_too_few_known_points_give_no_pose() -> None:
    places = torch.rand(1, 20, 3)
    weights = torch.zeros(1, 20)
    weights[0, 0] = 1.0
    assert not fitted_pose(places, _seen(places, weights=weights)).any()


def test_a_patchs_point_is_the_mean_of_its_masked_known_pixels() -> None:
    crop = torch.zeros(1, 8, 16, 16)
    crop[0, 3, :8, :4] = 1.0  # the mask covers the left half of the first patch
    crop[0, 7] = 1.0
    crop[0, 7, 0, 0] = 0.0  # one of its pixels has no point
    crop[0, 4] = torch.arange(16.0).expand(16, 16)
    crop[0, 4, 0, 0] = 99.0
    seen = patch_points(crop)
    assert seen.points.shape == (1, 4, 3) and seen.weights[0].tolist() == pytest.approx([31 / 64, 0, 0, 0])
    assert float(seen.points[0, 0, 0]) == pytest.approx((8 * (0 + 1 + 2 + 3) - 0) / 31)


def _example_batch(*, count: int = 4) -> tuple[DemonstrationBatch, Tensor, Tensor]:
    """Real examples, their raw shape (here the occupancy itself, one channel) and that of their mirror images."""
    examples = [
        make_example(
            stream=5, index=i, mixture=Mixture(isolated=1.0, composited=0.0, spoilt_points=0.0), resolution=16
        )
        for i in range(count)
    ]
    rows = {
        name: np.stack([getattr(e, name) for e in examples])
        for name in (
            "crop_rgb",
            "crop_mask",
            "crop_points",
            "full_rgb",
            "full_mask",
            "full_points",
            "box",
            "layout",
        )
    }
    occupancy = torch.from_numpy(np.stack([e.occupancy for e in examples])).float()[:, None]
    rows["latent"] = occupancy.numpy()
    return demonstration_batch(rows), occupancy, occupancy.flip(2)


def _true_places(batch: DemonstrationBatch) -> tuple[Tensor, Tensor]:
    seen, layout = patch_points(batch.condition.crop), batch.layout
    first, second = layout[:, :3], layout[:, 3:6]
    rotation = torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)
    return (seen.points - layout[:, None, 6:9]) @ rotation / layout[:, 9].exp()[:, None, None], seen.weights


def test_true_places_have_no_error_and_an_offset_is_the_error() -> None:
    batch, _, _ = _example_batch()
    places, _ = _true_places(batch)
    assert place_error(places, batch.condition.crop, batch.layout).max() < 1e-5
    moved = place_error(places + torch.tensor([0.3, 0.0, 0.0]), batch.condition.crop, batch.layout)
    torch.testing.assert_close(moved, torch.full((4,), 0.1), atol=1e-5, rtol=1e-5)


def test_places_of_unknown_points_are_no_error() -> None:
    batch, _, _ = _example_batch(count=1)
    crop = batch.condition.crop.clone()
    crop[:, 4:] = 0.0
    assert place_error(torch.ones(1, 64, 3), crop, batch.layout).tolist() == [0.0]


def test_in_the_mirror_every_patch_shows_the_mirrored_place_of_the_mirrored_object() -> None:
    batch, occupancy, mirrored = _example_batch()
    everyone = torch.ones(4, dtype=torch.bool)
    other = mirrored_batch(batch, everyone, mirrored_shape=mirrored)
    assert torch.equal(other.shape, mirrored) and not torch.equal(mirrored, occupancy)
    places, weights = _true_places(batch)
    reflected, reflected_weights = _true_places(other)
    side = 8
    straight = reflected.view(4, side, side, 3).flip(2).reshape(4, -1, 3)
    known = weights > 0
    assert torch.equal(reflected_weights.view(4, side, side).flip(2).reshape(4, -1), weights)
    expected = places * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(straight[known], expected[known], atol=1e-5, rtol=1e-5)
    again = mirrored_batch(other, everyone, mirrored_shape=occupancy)
    for name in ("crop", "full", "box"):
        assert torch.equal(getattr(again.condition, name), getattr(batch.condition, name))
    assert torch.equal(again.layout, batch.layout)


def test_only_the_chosen_rows_are_mirrored() -> None:
    batch, occupancy, mirrored = _example_batch()
    chosen = torch.tensor([True, False, False, True])
    other = mirrored_batch(batch, chosen, mirrored_shape=mirrored)
    assert torch.equal(other.condition.crop[1:3], batch.condition.crop[1:3])
    assert torch.equal(other.shape[1:3], occupancy[1:3]) and torch.equal(other.shape[0], mirrored[0])
    assert not torch.equal(other.layout[3], batch.layout[3])


def test_the_flow_matching_loss_teaches_places_through_the_stem() -> None:
    torch.manual_seed(0)
    model = GeometryModel(preset_named("tiny").geometry)
    batch, _, _ = _example_batch(count=2)
    shape = torch.zeros(2, *model.preset.latent_shape)
    batch = DemonstrationBatch(
        condition=batch.condition, shape=shape, layout=batch.layout, has_layout=batch.has_layout
    )
    objective = FlowMatchingObjective(draws=2, points_dropout=0.0)
    loss, metrics = objective.loss(model, batch, torch.Generator().manual_seed(1))
    loss.backward()
    embedder = model.encoder.embedders[0]
    assert 0.0 < metrics["place"] < 1.0
    assert float(embedder.places.guess.weight.grad.abs().sum()) > 0.0  # type: ignore[union-attr]
    assert float(embedder.stem[0].weight.grad.abs().sum()) > 0.0  # type: ignore[union-attr]
    without = DemonstrationBatch(
        condition=batch.condition,
        shape=shape,
        layout=batch.layout,
        has_layout=torch.zeros(2, dtype=torch.bool),
    )
    _, metrics = objective.loss(model, without, torch.Generator().manual_seed(1))
    assert metrics["place"] == 0.0 == metrics["layout"]


def test_the_pose_token_follows_the_points_and_not_the_colours() -> None:
    torch.manual_seed(0)
    encoder = ConditionEncoder(preset_named("tiny").geometry.condition)
    batch, _, _ = _example_batch(count=1)
    views = Views(crop=batch.condition.crop, full=batch.condition.full, box=batch.condition.box)
    hidden = views.without_points(torch.ones(1, dtype=torch.bool))
    tokens, places = encoder(views)
    assert places is not None and places.shape == (1, 64, 3)
    assert tokens.shape == (1, encoder.num_tokens, 128)
    other_tokens, _ = encoder(hidden)
    assert not torch.equal(tokens[:, -1], other_tokens[:, -1])
