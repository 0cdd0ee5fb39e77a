"""A real Celery worker for tests: on the session's broker, the test database and the object store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from engine.models import Job
from engine.states import JobStatus
from workers.celery import QUEUES, app
from workers.stack.processes import AppProcess
from workers.stack.tether import die_with_parent
from workers.tasks import (
    artists,
    candidates,
    housekeeping,
    layouts,
    masks,
    point_maps,
    poses,
    sources,
    training,
)

#: Importing them registers what becomes of the rows whose jobs die, which `sweep` needs in this process.
REGISTERED = (artists, candidates, layouts, masks, point_maps, poses, sources, training)
ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 300  # for machines that are busy with something else; nothing is asserted about time

_running: list[RunningWorker] = []


@dataclass(frozen=True, kw_only=True)
class RunningWorker:
    """One Celery worker with its pool, in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """kill -9 of the worker and its pool, in the middle of whatever they do."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def has_died(self) -> bool:
        """By itself, not by ``kill``."""
        return self.process.poll() not in (None, -signal.SIGKILL)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running_worker(
    home: Path,
    *,
    lease_s: int = 20,
    max_attempts: int = 5,
    more: Mapping[str, str] | None = None,
    process: AppProcess | None = None,
) -> Iterator[RunningWorker]:
    """A worker on our queues, one job at a time, or ``process`` of the stack; ``more`` goes into its environment."""
    home.mkdir(parents=True, exist_ok=True)
    log = home / "worker.log"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "engine.settings.test",
        "DATABASE_URL": database_url(),
        "CANDID8_HOME": str(home),
        "JOB_LEASE_SECONDS": str(lease_s),
        "JOB_MAX_ATTEMPTS": str(max_attempts),
        "OMP_NUM_THREADS": "1",
        **({} if process is None else process.environment),
        **(more or {}),
    }
    command = (
        _worker_of_all_queues()
        if process is None
        else process.command(python=sys.executable, host="127.0.0.1", port=0, home=str(home))
    )
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  # one prctl, also when this test run is killed
        )
    worker = RunningWorker(process=started, log=log)
    _running.append(worker)
    try:
        yield worker
    finally:
        _running.remove(worker)
        worker.stop()


def _worker_of_all_queues() -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "celery", "-A", "workers.celery", "worker"),
        *("-Q", ",".join(QUEUES), "-c", "1", "-n", f"test-{os.getpid()}-{time.monotonic_ns()}@%h"),
        *("--without-gossip", "--without-mingle"),
    )


def empty_queues() -> None:
    """Throws away what an earlier test left with the broker."""
    with app.connection_for_write() as broker:
        for queue in QUEUES:
            broker.default_channel.queue_purge(queue)


def wait_until(is_so: Callable[[], object], *, what: str, sweeping: bool = False) -> None:
    """Looks again and again until ``is_so``; with ``sweeping``, does beat's work meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        for worker in _running:
            assert not worker.has_died(), worker.log.read_text()[-3000:]
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        if sweeping:
            housekeeping.sweep()
        time.sleep(0.05)


def finished(job: Job, *, sweeping: bool = False) -> Job:
    """The job when it has ended."""

    def has_ended() -> bool:
        job.refresh_from_db()
        return job.status in (JobStatus.DONE, JobStatus.FAILED)

    wait_until(has_ended, what=f"the end of {job}", sweeping=sweeping)
    return job


def database_url() -> str:
    """The test database as workers must name it."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))
