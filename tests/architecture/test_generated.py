"""What is generated and committed is what its generator writes now: `make generate` brings it up to date."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command

from workers.stack.frontend_build import node_environment, npm_command

PROJECT = Path(__file__).resolve().parents[2]
FRONTEND = PROJECT / "frontend"


@pytest.mark.django_db
def test_no_model_has_changed_without_a_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_the_openapi_snapshot_is_current() -> None:
    written = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=written)
    assert (PROJECT / "docs" / "openapi.yaml").read_text().strip() == written.getvalue().strip()


def test_the_typescript_types_follow_the_openapi_snapshot(tmp_path: Path) -> None:
    target = tmp_path / "schema.d.ts"
    command = npm_command("exec", "--", "openapi-typescript", "../docs/openapi.yaml", "-o", str(target))
    made = subprocess.run(
        command, cwd=FRONTEND, env=node_environment(), capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert (FRONTEND / "src" / "net" / "schema.d.ts").read_text() == target.read_text()


def test_the_websocket_messages_in_typescript_are_current(tmp_path: Path) -> None:
    target = tmp_path / "events.ts"
    call_command("write_event_types", "--file", str(target), stdout=io.StringIO())
    assert (FRONTEND / "src" / "net" / "events.generated.ts").read_text() == target.read_text()
