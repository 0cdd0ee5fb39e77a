"""``manage.py check_sources``: whether the file of SOURCES_TABLE says where foreign generators are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from modelzoo.ports.catalogue import sources_from_file


class Command(BaseCommand):
    """Nothing is started; a missing interpreter is said, because its disk may come later."""

    help = "Read the file of SOURCES_TABLE as the workers of foreign generators will."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SOURCES_TABLE:
            raise CommandError("SOURCES_TABLE names no file (docs/guide/ports.md)")
        try:
            known = sources_from_file(Path(settings.SOURCES_TABLE))
        except ValueError as error:
            raise CommandError(f"SOURCES_TABLE={settings.SOURCES_TABLE}: {error}") from error
        for name, source in known.items():
            interpreter = source.process.interpreter
            missing = "" if interpreter.exists() else ", which is not there"
            self.stdout.write(f"{name}: {interpreter}{missing}")
