"""Sizes of the presets: parameters and tokens, against the published numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from modelzoo.parameter_counts import PresetCounts, counts_of, main
from modelzoo.presets import preset_named

ROOT = Path(__file__).resolve().parents[2]


@cache
def _counts(name: str) -> PresetCounts:
    return counts_of(preset_named(name))


def _flow_parameters(width: int, depth: int, seen: int, *, mlp_ratio: int = 4, channels: int = 8) -> int:
    """Two streams, their shared modulation, two step embeddings, inputs and outputs (facts 10.3)."""
    own = 3 * width**2 + 3 * width + width**2 + width + 2 * width
    cross = width**2 + width + 2 * seen * width + 2 * width + width**2 + width + 2 * width
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    steps = 2 * (256 * width + width + width**2 + width)
    ends = sum(2 * size * width + size + width for size in (channels, 6, 3, 3, 1)) + 4 * width
    return depth * (2 * (own + cross + mlp) + 6 * width**2 + 6 * width) + steps + ends


@pytest.mark.parametrize(
    ("preset", "model", "millions"),
    [
        ("released", "geometry_flow", 960.0),
        ("paper", "geometry_flow", 1199.3),
        ("released", "texture_flow", 600.4),
        ("paper", "texture_flow", 600.4),
        ("small", "geometry_flow", 20.3),
        ("base", "geometry_flow", 120.6),
    ],
)
def test_flow_models_have_their_published_size_to_a_tenth_of_a_percent(
    preset: str, model: str, millions: float
) -> None:
    tolerance = max(1e-3 * millions, 0.05)  # the smaller ones are published with one decimal
    assert _counts(preset).total(model) / 1e6 == pytest.approx(millions, abs=tolerance)


@pytest.mark.parametrize(
    ("preset", "width", "depth"), [("released", 1024, 24), ("paper", 1024, 30), ("base", 512, 12)]
)
def test_the_geometry_flow_has_exactly_the_parameters_of_the_formula(
    preset: str, width: int, depth: int
) -> None:
    assert _counts(preset).total("geometry_flow") == _flow_parameters(width, depth, width)


@pytest.mark.parametrize(
    ("model", "part", "millions"),
    [
        ("geometry_condition", "dinov2_image", 304.4),
        ("geometry_condition", "dinov2_mask", 304.4),
        ("geometry_condition", "point_patch_points", 2.7),
        ("geometry_condition", "fuser", 23.1),
        ("texture_condition", "fuser", 17.3),
        ("structure_vae", "encoder", 59.3),
        ("structure_vae", "decoder", 73.7),
        ("latent_vae", "encoder", 85.8),
        ("latent_vae", "gaussian_decoder_32", 85.4),
        ("latent_vae", "gaussian_decoder_4", 85.1),
        ("latent_vae", "surface_decoder", 90.9),
    ],
)
def test_every_part_of_the_released_preset_has_its_published_size(
    model: str, part: str, millions: float
) -> None:
    assert _counts("released").parameters[model][part] / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_released_presets_see_as_many_tokens_as_published() -> None:
    for name in ("released", "paper"):
        tokens = _counts(name).tokens
        assert (tokens["geometry_condition"], tokens["texture_condition"]) == (7528, 5496)
        assert (tokens["shape"], tokens["layout"]) == (4096, 4)


def test_the_shipped_presets_stay_small_enough_for_a_laptop() -> None:
    for name, most in (("nano", 1e6), ("tiny", 12e6)):
        counts = _counts(name)
        assert sum(counts.total(model) for model in counts.parameters) < most


def test_parts_add_up_to_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nano", "tiny", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["nano", "tiny"]
    for name, document in printed.items():
        for model, parts in document["parameters"].items():
            assert parts.pop("total") == sum(parts.values()) == _counts(name).total(model)
    from_streams = printed["tiny"]["parameters"]["geometry_flow"]
    assert from_streams["shape_stream"] == from_streams["layout_stream"]


def test_the_command_prints_presets_as_json() -> None:
    command = [sys.executable, "-m", "modelzoo.presets", "nano", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == {"nano": _counts("nano").document()}


def test_the_command_refuses_an_unknown_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gigantic"])
    assert "no preset gigantic" in capsys.readouterr().err
