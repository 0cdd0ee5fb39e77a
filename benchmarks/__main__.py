"""`make bench`: measure the budgets, print them, and keep them as docs/reports/bench.json."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from training.provenance import provenance

REPORT = Path(__file__).resolve().parents[1] / "docs" / "reports" / "bench.json"
#: Modules of this package; each has ``measure(*, seed) -> list[Result]`` and is imported only when it is asked for.
MEASURES = (
    "candidates",
    "models",
    "synthesis",
    "training",
    "training_round",
    "masks",
    "claims",
    "ranking",
    "web_memory",
    "first_frame",
    "start_up",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASURES, []], help="which to measure (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, help=f"where the report goes (default: {REPORT} when all are measured)"
    )
    arguments = parser.parse_args()
    names: list[str] = arguments.names or list(MEASURES)
    results = []
    for name in names:
        for result in import_module(f"benchmarks.{name}").measure(seed=arguments.seed):
            print(result.line(), flush=True)
            results.append(result)
    out = arguments.out or (REPORT if names == list(MEASURES) else None)
    if out is not None:
        body = {
            "results": [asdict(r) | {"verdict": r.verdict} for r in results],
            **provenance(seed=arguments.seed),
        }
        out.write_text(json.dumps(body, indent=2) + "\n")
    return 1 if any(result.verdict == "OVER" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
