"""``manage.py evaluate_audit``: a checkpoint beside its parent on a version's audit set, kept in its evaluation."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from engine import blobs
from engine.models import Checkpoint, DatasetVersion
from engine.services import checkpoints
from engine.transitions import Actor
from training.audit import compare_on_audit
from training.data.manifests import ManifestRefused
from workers.flywheel.measure import checkpoint_folder

AUDITOR = Actor(name="evaluate_audit")
BLOB_FIELDS = ("image", "mask", "pointmap", "latents", "mesh")


class Command(BaseCommand):
    """The audit set is human-made, and no version trains on it."""

    help = "Compare a checkpoint with its parent on the audit set of a frozen dataset version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpoint", type=int, required=True)
        parser.add_argument("--dataset-version", dest="version_id", type=int, required=True, help="Its id.")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        checkpoint = Checkpoint.objects.filter(pk=options["checkpoint"]).first()
        version = DatasetVersion.objects.filter(pk=options["version_id"]).first()
        if checkpoint is None or version is None:
            raise CommandError("There is no such checkpoint, or no such dataset version.")
        if checkpoint.parent_id is None:
            raise CommandError(f"{checkpoint.name} has no parent to be compared with.")
        key = version.counts.get("held_back", {}).get("audit_manifest", "")
        if not key:
            raise CommandError(
                "This version kept nothing for auditing: set a share on the console's page Bias before freezing."
            )
        with TemporaryDirectory() as folder:
            place = Path(folder)
            _fetch(key, place / "audit")
            try:
                report = compare_on_audit(
                    checkpoint_folder(checkpoint.pk, place),
                    checkpoint_folder(checkpoint.parent_id, place),
                    place / "audit",
                    seed=options["seed"],
                )
            except ManifestRefused as error:
                raise CommandError(str(error)) from error
        checkpoints.record_audit(
            checkpoint_id=checkpoint.pk,
            version_id=version.pk,
            report=report,
            at=timezone.now(),
            actor=AUDITOR,
        )
        self.stdout.write(json.dumps(report, indent=1))


def _fetch(key: str, folder: Path) -> None:
    """The audit manifest with every blob it names."""
    manifest = blobs.get(key)
    folder.mkdir(parents=True)
    (folder / "manifest.jsonl").write_bytes(manifest)
    lines = [json.loads(line) for line in manifest.splitlines()]
    for name in sorted({line[field] for line in lines for field in BLOB_FIELDS if line.get(field)}):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blobs.get(name))
