"""The models' benchmark: what it counts, and the page it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.models.arithmetic import counted_flops
from benchmarks.models.costs import QUICK, StageCost, fitting_presets, measured
from benchmarks.models.report import results, write_report, write_table
from benchmarks.models.workloads import sphere_cells
from modelzoo.presets import PRESETS, preset_named

CPU = torch.device("cpu")
COST = StageCost(
    preset="nano",
    stage="geometry",
    device="CPU",
    rows=12,
    gflop=0.5,
    single_ms=2.0,
    together_ms=8.0,
    half_ms=9.0,
    compiled_ms=None,
    peak_mib=300.0,
    mfu=None,
)


class _Attends(nn.Module):
    """A projection of 6 tokens and attention over them: 3 heads of 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(24, 24)

    def forward(self, tokens: Tensor) -> Tensor:
        heads = self.project(tokens).view(2, 6, 3, 8).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads)


def test_operations_are_counted_as_by_hand() -> None:
    projection, scores = 2 * (2 * 6) * 24 * 24, 2 * 2 * 3 * 6 * 6 * 8
    assert counted_flops(_Attends(), (torch.randn(2, 6, 24),)) == projection + 2 * scores


def test_one_quick_round_measures_every_stage_of_a_preset() -> None:
    costs = measured(preset_named("nano"), seed=0, device=CPU, effort=QUICK)
    assert [cost.stage for cost in costs] == ["condition", "geometry", "texture"]
    assert all(
        min(cost.gflop, cost.single_ms, cost.together_ms, cost.half_ms, cost.peak_mib) > 0 for cost in costs
    )
    assert [cost.rows for cost in costs] == [100, 12, len(sphere_cells(preset_named("nano")))]
    assert all(cost.compiled_ms is None and cost.mfu is None for cost in costs)


def test_texture_is_measured_on_as_many_cells_as_an_object_has() -> None:
    for preset in PRESETS.values():
        cells = sphere_cells(preset)
        assert preset.latent.grid**2 < len(cells) <= preset.texture.max_cells
        assert len(torch.unique(cells, dim=0)) == len(cells) and int(cells.max()) < preset.latent.grid


def test_small_presets_are_measured_everywhere_and_all_on_a_gpu() -> None:
    assert [preset.name for preset in fitting_presets(CPU)] == ["nano", "tiny", "small"]
    assert fitting_presets(torch.device("cuda")) == list(PRESETS.values())


def test_eight_at_once_are_held_against_eight_singles() -> None:
    assert COST.batching == pytest.approx(2.0)
    (on_cpu,) = results([COST, replace(COST, stage="condition")])
    assert (on_cpu.value, on_cpu.budget, on_cpu.verdict) == (0.5, 1.0, "ok")
    on_gpu, unused = results([replace(COST, preset="released", device="NVIDIA H100", mfu=0.3)])
    assert on_gpu.verdict == "OVER" and unused.verdict == "OVER"


def test_the_page_has_a_table_for_every_machine_with_its_date_and_commit(tmp_path: Path) -> None:
    assert write_report([COST], seed=0, folder=tmp_path).name == "models-cpu-eager.json"
    gpu = replace(COST, device="NVIDIA H100", mfu=0.456, compiled_ms=4.0)
    write_report([gpu], seed=0, folder=tmp_path)
    write_table(reports=tmp_path, table=tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert page.count("| preset | stage |") == 2 and "## NVIDIA H100" in page
    assert "| nano | geometry | 12 | 0.5 | 2.0 | 8.0 | 2.00 | 9.0 | not measured | 300 |  |" in page
    assert "| 4.0 | 300 | 46% |" in page
    assert page.count("commit `") == 2 and page.count(" threads, ") == 2
    assert page.count("; processor time.") == page.count("; wall time.") == 1
    assert "Not measured in this run: tiny, small.\n" in page
