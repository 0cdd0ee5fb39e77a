#!/usr/bin/env python
"""Django's command line; settings default to development, and servers to those of a running `make up`."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

from workers.stack.addresses import adopt_addresses

if __name__ == "__main__":
    adopt_addresses(Path(__file__).resolve().parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings.dev")
    execute_from_command_line(sys.argv)
