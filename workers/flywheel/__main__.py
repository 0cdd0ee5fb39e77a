"""``make flywheel``: a stack of its own, simulated people, some rounds, a report. Stopped, the same command goes on."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from workers.stack.beside import PROJECT, stack_beside

HOME = PROJECT / ".candid8" / "flywheel"
#: On two cores one worker leaves half of the machine idle while people look (docs/log.md).
GPU_WORKERS = 2
REPORT = Path("docs/reports/flywheel")  # below the project, where the command runs


def main() -> int:
    """The exit status of ``manage.py simulate``."""
    parser = argparse.ArgumentParser(prog="python -m workers.flywheel", description=__doc__)
    parser.add_argument(
        "--home", type=Path, default=HOME, help="Where its data lie; delete it to begin anew."
    )
    parser.add_argument("--out", type=Path, default=REPORT, help="Report without its ending.")
    text = "Checkpoint folder that serves in the first round (default: the shipped one)."
    parser.add_argument("--start", type=Path, help=text)
    text = "How many processes draw candidates at once."
    parser.add_argument("--gpu-workers", type=int, default=GPU_WORKERS, help=text)
    options, rest = parser.parse_known_args()
    is_new = not options.home.exists()
    with stack_beside(options.home, extra={}, gpu_workers=options.gpu_workers) as stack:
        if options.start and is_new:
            deploy = [sys.executable, "manage.py", "deploy_checkpoint", str(options.start)]
            subprocess.run(deploy, cwd=PROJECT, env={**os.environ, **stack.environment()}, check=True)
        command = [
            sys.executable,
            "manage.py",
            "simulate",
            "--url",
            stack.url,
            "--out",
            str(options.out),
            *rest,
        ]
        return subprocess.run(
            command, cwd=PROJECT, env={**os.environ, **stack.environment()}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
