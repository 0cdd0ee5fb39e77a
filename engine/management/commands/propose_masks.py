"""Asks the operator's segmenter to propose masks in the photographs that were there before it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from engine.models import Image
from engine.services.images import ask_for_proposals
from engine.states import TargetStatus


class Command(BaseCommand):
    help = "Ask the segmenter (SEGMENTER_ENCODER, SEGMENTER_DECODER) for masks in a project's unmarked photographs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="The project's slug.")

    def handle(self, *args: Any, **options: Any) -> None:
        waiting = Image.objects.filter(project__slug=options["project"]).exclude(
            targets__status=TargetStatus.CONFIRMED
        )
        num_asked = 0
        for image in waiting.order_by("pk").iterator():
            with transaction.atomic():
                if not ask_for_proposals(image):
                    raise CommandError("No segmenter is set: see docs/guide/segmenter.md.")
            num_asked += 1
        self.stdout.write(f"asked for masks in {num_asked} photographs")
