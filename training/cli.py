"""Command line of training: ``python -m training.cli COMMAND``; see ``--help`` of each."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import torch

from training import recipe, run_commands
from training.components import commands as component_commands
from training.data import synthesis_command
from training.reports import commands as report_commands
from training.reports import distillation, real_commands, reward
from training.reports.ablation import commands as ablation_commands

#: In the order in which a model comes about.
COMMANDS = (
    recipe,
    synthesis_command,
    component_commands,
    run_commands,
    distillation,
    report_commands,
    real_commands,
    reward,
    ablation_commands,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0 unless it fails, was stopped, or a check that it makes fails."""
    parser = argparse.ArgumentParser(prog="python -m training.cli", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0)
    commands = parser.add_subparsers(required=True)
    for module in COMMANDS:
        module.add_commands(commands)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    torch.set_num_threads(options.threads)
    os.nice(options.nice)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
