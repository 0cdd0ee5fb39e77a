"""A training run: a process of its own beside this worker, watched until it ends, however it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from engine import jobs
from engine.errors import EngineError
from engine.jobs import Hold
from engine.models import TrainingRun
from engine.services import runs
from workers import policy
from workers.stack.tether import die_with_parent

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
GRACE_S = 20.0  # between being told to stop and being stopped
TAIL_BYTES = 2000


def _fail_run(payload: dict[str, Any], error: str) -> None:
    runs.fail(run_id=payload["run_id"], detail=error)


# No time limit: a run takes as long as it takes. Its message may come again meanwhile; the lease in the row says no.
@policy.job("train_run", abandon=_fail_run, soft_time_limit=None, time_limit=None)
def train_run(hold: Hold) -> dict[str, Any]:
    run_id = hold.payload["run_id"]
    folder = Path(settings.HOME) / "runs" / str(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "training.log").open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.bridge", str(run_id)],
            cwd=settings.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # one prctl; it then saves its state
        )
        try:
            code = _watch(child, hold)
        finally:
            _end(child)
    if code != 0:
        raise EngineError(
            f"The training process ended with status {code}.\n{_tail(folder / 'training.log')}",
            permanent=False,
        )
    return {"run": str(TrainingRun.objects.only("status").get(pk=run_id).status)}


def _watch(child: subprocess.Popen[bytes], hold: Hold) -> int:
    """The exit status; stops the child when the job was taken over, or when a cancelled run does not stop itself."""
    renew_every_s = max(settings.JOB_LEASE_SECONDS / 4, LOOK_EVERY_S)
    next_look, cancelled_since = time.monotonic() + renew_every_s, None
    while (code := child.poll()) is None:
        time.sleep(LOOK_EVERY_S)
        if time.monotonic() < next_look:
            continue
        next_look = time.monotonic() + renew_every_s
        if not jobs.renew(hold, now=timezone.now()):
            log.warning("job %s was taken over: stopping this training process", hold.job_id)
            return 0
        if runs.is_cancelled(hold.payload["run_id"]):
            cancelled_since = cancelled_since or time.monotonic()
            if time.monotonic() - cancelled_since > GRACE_S:
                return 0
    return code


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _tail(path: Path) -> str:
    return path.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
