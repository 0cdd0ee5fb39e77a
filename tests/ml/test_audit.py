"""A checkpoint beside its parent on human-made shapes that nothing was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.ml.test_manifests import _demonstration, _write
from tests.untrained import untrained_checkpoint
from training.audit import _best_turn, compare_on_audit
from training.data.manifests import ManifestRefused


def audit(folder: Path, *, shapes: int) -> Path:
    made = {"latents": None, "mesh": "ab/artist.glb", "pose": None, "rating": None, "source": "artist"}
    _write(folder, [_demonstration(id=f"d{number}", **made) for number in range(shapes)])
    return folder


def test_a_checkpoint_beside_itself_differs_by_nothing_and_another_is_named(tmp_path: Path) -> None:
    one = untrained_checkpoint(tmp_path / "one", seed=0)
    other = untrained_checkpoint(tmp_path / "other", seed=1)
    shapes = audit(tmp_path / "audit", shapes=2)
    same = compare_on_audit(one, one, shapes, num_samples=2)
    assert same["parent"] == same["checkpoint"] and same["num_objects"] == 2
    for row in same["metrics"].values():
        assert (row["difference"], row["low"], row["high"]) == (0, 0, 0) and 0 <= row["value"] <= 1
    assert set(same["metrics"]) == {"volume_iou_mean", "volume_iou_best_of_2"}
    apart = compare_on_audit(other, one, shapes, num_samples=2)
    assert apart["checkpoint"] != apart["parent"] == same["parent"]
    assert apart["metrics"]["volume_iou_mean"]["parent"] == same["metrics"]["volume_iou_mean"]["value"]


def test_one_shape_is_too_few(tmp_path: Path) -> None:
    one = untrained_checkpoint(tmp_path / "one")
    with pytest.raises(ManifestRefused, match="needs 2"):
        compare_on_audit(one, one, audit(tmp_path / "audit", shapes=1))


def test_a_quarter_turn_costs_nothing() -> None:
    truth = torch.zeros((1, 8, 8, 8), dtype=torch.bool)
    truth[0, 1:7, 3:5, 2:6] = True
    turned = torch.rot90(truth[0], 1, dims=(0, 1))
    overlaps = _best_turn(torch.stack([truth[0], turned, ~truth[0]])[None], truth)
    assert overlaps[0, 0] == overlaps[0, 1] == 1 and overlaps[0, 2] < 1
