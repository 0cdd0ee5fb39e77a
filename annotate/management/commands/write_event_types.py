"""`manage.py write_event_types`: the WebSocket's messages as TypeScript for the front end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotate.ws.messages import typescript

TARGET = Path(__file__).resolve().parents[3] / "frontend" / "src" / "net" / "events.generated.ts"


class Command(BaseCommand):
    help = "Writes frontend/src/net/events.generated.ts from annotate/ws/messages.py."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=TARGET)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        file.write_text(typescript(), encoding="utf-8")
        self.stdout.write(f"wrote {file}")
