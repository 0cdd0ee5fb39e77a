"""What is generated from the code is committed, and in step with it; the web process stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from django.core.management import call_command

from annotate.ws.messages import FIELDS
from engine import models

PROJECT = Path(__file__).resolve().parents[2]
CONTRACT = PROJECT / "docs" / "openapi.yaml"
EVENT_TYPES = PROJECT / "frontend" / "src" / "net" / "events.generated.ts"

#: Too heavy, or of no use, in a process that only answers requests.
NOT_IN_THE_WEB = ("torch", "cv2", "open3d", "scipy", "skimage", "trimesh", "numba", "celery.worker")


def test_the_contract_is_in_step_with_the_code(tmp_path: Path) -> None:
    fresh = tmp_path / "openapi.yaml"
    call_command("spectacular", "--file", str(fresh), "--fail-on-warn", "--validate")
    assert fresh.read_text() == CONTRACT.read_text(), "run: manage.py spectacular --file docs/openapi.yaml"


def test_the_event_types_are_in_step_with_the_code(tmp_path: Path) -> None:
    fresh = tmp_path / "events.ts"
    call_command("write_event_types", "--file", str(fresh))
    assert fresh.read_text() == EVENT_TYPES.read_text(), "run: manage.py write_event_types"


def test_every_row_that_announces_itself_has_a_message() -> None:
    rows = (getattr(models, name) for name in models.__all__)
    kinds = {f"{row.EVENT}.changed" for row in rows if hasattr(row, "EVENT")}
    assert kinds <= set(FIELDS)


def test_every_operation_names_its_answer_its_problems_and_itself() -> None:
    contract = yaml.safe_load(CONTRACT.read_text())
    names = []
    for path, method, operation in operations(contract):
        where = f"{method} {path}"
        names.append(operation["operationId"])
        assert operation["description"].strip(), where
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}, where
        for code, response in operation["responses"].items():
            if code not in {"204", "default"}:
                assert "$ref" in response["content"]["application/json"]["schema"], f"{where} {code}"
    assert len(names) == len(set(names)) > 20


def test_a_task_is_told_apart_by_its_kind() -> None:
    task = yaml.safe_load(CONTRACT.read_text())["components"]["schemas"]["Task"]
    assert task["discriminator"]["propertyName"] == "kind"
    assert set(task["discriminator"]["mapping"]) == {"object", "pick", "pose"}


def test_the_web_process_loads_nothing_heavy() -> None:
    code = (
        "import sys, json, annotate.asgi; from django.urls import get_resolver; get_resolver().url_patterns; "
    )
    code += "import annotate.api.urls; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=300
    )
    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert "engine.models" in loaded
    assert sorted(loaded.intersection(NOT_IN_THE_WEB)) == []


def operations(contract: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation
