"""The command line of the stack: `python -m workers.stack up | services | stop | frontend | types`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from workers.stack.frontend_build import build_frontend, write_types
from workers.stack.home import HomeBusy, HomeLock, PortBusy, open_home
from workers.stack.identities import NoIdentity
from workers.stack.sources import SourcesTableRefused
from workers.stack.tether import die_with_my_parent
from workers.stack.up import PROJECT, run_everything, run_frontend_step, run_services


def main() -> int:
    arguments = _parser().parse_args()
    root: Path = arguments.home
    if arguments.die_with_parent:
        die_with_my_parent()
    try:
        match arguments.action:
            case "up":
                return run_everything(
                    root, host=arguments.host, port=arguments.port, gpu_workers=arguments.gpu_workers
                )
            case "services":
                return run_services(root, environment_file=arguments.env_file, throwaway=arguments.throwaway)
            case "frontend":
                return run_frontend_step(root, build_frontend)
            case "types":
                return run_frontend_step(root, write_types)
            case _:
                return stop(root)
    except (HomeBusy, PortBusy, NoIdentity, SourcesTableRefused) as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1


def stop(root: Path) -> int:
    """Ask the supervisor of this home to stop and wait until it has."""
    lock = HomeLock(open_home(root))
    holder = lock.holder()
    if holder is None:
        print("Candid8 is not running here")
        return 0
    os.kill(holder, signal.SIGTERM)
    while lock.holder() is not None:
        time.sleep(0.1)
    print("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.stack", description=__doc__)
    parser.add_argument("action", choices=["up", "services", "stop", "frontend", "types"])
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("CANDID8_HOME", PROJECT / ".candid8")),
        help="where data, logs and secrets live (default: .candid8, or CANDID8_HOME)",
    )
    parser.add_argument(
        "--host", default=os.environ.get("HOST", "127.0.0.1"), help="address of the web server"
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")), help="its port")
    parser.add_argument(
        "--gpu-workers",
        type=_at_least_one,
        default=os.environ.get("GPU_WORKERS", "1"),
        help="up: how many processes draw candidates at once, each with models of its own in memory",
    )
    parser.add_argument(
        "--env-file", type=Path, help="services: write the addresses here instead of printing them"
    )
    parser.add_argument(
        "--throwaway", action="store_true", help="services: faster, for data that nobody will miss"
    )
    parser.add_argument(
        "--die-with-parent", action="store_true", help="stop when the process that started this ends"
    )
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
