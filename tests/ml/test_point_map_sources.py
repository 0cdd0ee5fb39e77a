"""The setting that names an operator's estimator of point maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from modelzoo.ports.monocular_depth import EstimatorMissing
from modelzoo.ports.point_map_sources import point_map_source


class _Slope(torch.nn.Module):
    """Depth that grows down the picture."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(image.shape[2], dtype=torch.float32)
        return (1.0 + rows)[None, :, None].expand(1, image.shape[2], image.shape[3])


@pytest.mark.parametrize(
    "line", ["", "moge", "moge:", "midas:/weights.pt", "depth-anything-vitl@far:/weights.pth"]
)
def test_a_line_that_names_no_estimator_is_answered_with_the_forms(line: str) -> None:
    with pytest.raises(ValueError, match="moge2:FILE"):
        point_map_source(line, device="cpu")


@pytest.mark.parametrize(
    "kind", ["moge", "moge2", "depth-anything", "depth-anything-vits", "transformers", "torchscript"]
)
def test_an_estimator_that_is_not_there_says_what_to_supply(kind: str, tmp_path: Path) -> None:
    with pytest.raises(EstimatorMissing):
        point_map_source(f"{kind}:{tmp_path / 'absent'}", device="cpu")


def test_a_torchscript_file_is_loaded_and_asked(tmp_path: Path) -> None:
    file = tmp_path / "slope.pt"
    torch.jit.script(_Slope()).save(str(file))
    source = point_map_source(f"torchscript-metric:{file}", device="cpu")
    made = source.estimate(np.zeros((6, 9, 3), np.uint8))
    assert made.metric and made.points.shape == (6, 9, 3)
    assert np.allclose(made.points[:, 0, 2], 1.0 + np.arange(6))
