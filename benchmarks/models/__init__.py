"""What one step of each model costs, by preset: time, batching, precision, compilation, memory, arithmetic."""

from benchmarks.models.costs import fitting_presets, measured
from benchmarks.models.report import REPORTS, TABLE, results, write_report, write_table
from benchmarks.result import Result

__all__ = ["measure"]


def measure(*, seed: int) -> list[Result]:
    """Measure every preset that fits this machine, keep the numbers, and write the table of docs anew."""
    costs = [cost for preset in fitting_presets() for cost in measured(preset, seed=seed)]
    write_report(costs, seed=seed, folder=REPORTS)
    write_table(reports=REPORTS, table=TABLE)
    return results(costs)
