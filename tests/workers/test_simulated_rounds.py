"""``manage.py simulate`` turns a round at a running site through its front door, and reports it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_site import PROJECT, running_site

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


def test_a_round_is_turned_by_simulated_people_and_their_checkpoint_serves(tmp_path: Path) -> None:
    with running_site(tmp_path / "home", extra={}) as site:
        out = tmp_path / "report"
        command = [
            *(sys.executable, "manage.py", "simulate", "--url", site.url, "--rounds", "1", "--targets", "6"),
            *("--annotators", "2", "--candidates", "2", "--sft-steps", "2", "--dpo-steps", "2"),
            *("--evaluation-objects", "2", "--objects", "2", "--out", str(out)),
        ]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(site.home), **site.environment()}
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        report = json.loads(out.with_suffix(".json").read_text())
        assert out.with_suffix(".png").exists() and "1 simulated rounds" in out.with_suffix(".md").read_text()
        assert "simulated" in report["simulated"] and set(report["scores"]) == {"start", "round-1", "control"}
        (record,) = report["rounds"]
        assert record["collected"]["objects"] == 6 and record["collected"]["picks"]["picks"] == 6
        assert set(record["version"]["counts"]["point_maps"]) == {"measured"}, (
            "all that was handed in is used"
        )
        assert record["gold"]["object"] > 0, "a lead made gold of masks known to be true"
        first, second = sorted(record["people"], key=lambda one: one["username"])
        assert (first["kind"], first["paused_after"], second["paused_after"]) == ("careful", None, None)
        assert first["answers"] + second["answers"] >= 12
        assert "| annotator | kind | answers | hidden gold |" in out.with_suffix(".md").read_text()
        serving = "from engine.selectors.deployments import serving; print(serving().checkpoint_id)"
        assert int(site.shell(serving)) == record["checkpoint"]
        # Another call has nothing left to turn and measures nothing again.
        again = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
        )
        assert "round 1:" not in again.stdout
