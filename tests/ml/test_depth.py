"""The depth net's contract, its loss, and the seam for an operator's estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.contracts import Intrinsics
from modelzoo.depth import SmallDepthNet
from modelzoo.frames import project
from modelzoo.models.depth_net import DepthConfig, DepthNet, DepthPrediction
from modelzoo.ports.monocular_depth import EstimatorMissing, MogePort, TorchScriptDepth
from training.losses.depth import depth_loss

CHECKPOINTS = Path(__file__).resolve().parents[2] / "fixtures" / "checkpoints"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(40, 60), (333, 200), (64, 300)])
def test_a_photograph_of_any_size_gets_a_point_map_that_projects_onto_itself(size: tuple[int, int]) -> None:
    height, width = size
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    found = SmallDepthNet(DepthNet(DepthConfig())).estimate(image)
    assert found.points.shape == (height, width, 3)
    assert (found.metric, found.approximate, found.source) == (False, True, "candid8-depth-tiny")
    known = np.isfinite(found.points).all(axis=-1)
    rows, cols = np.nonzero(known)
    pixels = project(found.points[known], found.intrinsics)
    assert known.any() and np.allclose(pixels, np.stack([cols + 0.5, rows + 0.5], axis=1), atol=1e-2)


def test_a_known_camera_is_kept() -> None:
    camera = Intrinsics(fx=90, fy=91, cx=30, cy=20, width=60, height=40)
    found = SmallDepthNet(DepthNet(DepthConfig())).estimate(
        np.zeros((40, 60, 3), np.uint8), intrinsics=camera
    )
    assert found.intrinsics == camera


def test_the_depth_loss_does_not_change_with_scale_and_is_zero_at_the_truth() -> None:
    log_depth, known = torch.rand(2, 16, 16), torch.ones(2, 16, 16, dtype=torch.bool)
    known[:, :4] = False
    sky = torch.where(known, -20.0, 20.0)
    focal = torch.tensor([0.1, 0.4])
    for shift in (0.0, 3.0):
        guess = DepthPrediction(log_depth=log_depth + shift, sky=sky, log_focal=focal)
        terms = depth_loss(guess, log_depth=log_depth, known=known, log_focal=focal)
        assert all(float(value) < 1e-5 for value in terms.values()), terms


def test_a_checkpoint_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointRefused):
        SmallDepthNet.load(CHECKPOINTS / "tiny")


def test_a_torchscript_estimator_is_used_as_given(tmp_path: Path) -> None:
    class Ramp(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, 0] + 1.0

    torch.jit.script(Ramp()).save(str(tmp_path / "ramp.pt"))
    image = np.full((20, 30, 3), 255, np.uint8)
    found = TorchScriptDepth(tmp_path / "ramp.pt", metric=True).estimate(image)
    assert found.metric and found.approximate and found.source == "torchscript:ramp"
    assert np.allclose(found.points[..., 2], 2.0)


def test_a_missing_estimator_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(EstimatorMissing, match="TorchScript"):
        TorchScriptDepth(tmp_path / "none.pt", metric=False)
    with pytest.raises(EstimatorMissing, match="moge"):
        MogePort("any")
