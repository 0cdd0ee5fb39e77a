"""Makes the bucket when it is not there and lets the site's pages read it; safe to run at every start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from engine import blobs


class Command(BaseCommand):
    help = "Make the bucket when it is not there, and let pages of the given origins read it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "origins",
            nargs="+",
            metavar="ORIGIN",
            help="Where pages come from, as in https://label.example.org",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        blobs.ensure_bucket(origins=options["origins"])
