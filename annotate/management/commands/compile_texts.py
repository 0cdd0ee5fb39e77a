"""`manage.py compile_texts`: the German texts of the server's pages in the form that gettext reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polib
from django.core.management.base import BaseCommand, CommandParser

TEXTS = Path(__file__).resolve().parents[2] / "locale" / "de" / "LC_MESSAGES" / "django.po"


class Command(BaseCommand):
    help = "Writes annotate/locale/de/LC_MESSAGES/django.mo from the django.po beside it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=TEXTS.with_suffix(".mo"))

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        file.write_bytes(polib.pofile(str(TEXTS)).to_binary())
        self.stdout.write(f"wrote {file}")
