"""`python -m benchmarks.models`: the same measurements for chosen presets, or quickly, on a named device."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.models.costs import QUICK, Effort, StageCost, device_of, fitting_presets, measured
from benchmarks.models.report import REPORTS, TABLE, results, write_report, write_table
from modelzoo.presets import preset_named


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("presets", nargs="*", help="which to measure (default: all that fit the device)")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU where there is one)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one call each, nothing compiled, nothing kept")
    parser.add_argument("--eager", action="store_true", help="nothing compiled")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder of the machines' numbers")
    parser.add_argument("--table", type=Path, default=TABLE, help="the page that is written from them")
    given = parser.parse_args()
    device = device_of(given.device)
    presets = [preset_named(name) for name in given.presets] or fitting_presets(device)
    effort = QUICK if given.quick else Effort(compiled=not given.eager)
    costs: list[StageCost] = []
    try:
        for preset in presets:
            found = measured(preset, seed=given.seed, device=device, effort=effort)
            costs += found
            for cost in found:
                print(cost, flush=True)
    finally:  # a run that is cut off keeps the presets that it finished
        if costs and not given.quick:
            write_report(costs, seed=given.seed, folder=given.reports)
            write_table(reports=given.reports, table=given.table)
    for result in results(costs):
        print(result.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
