"""Starts, watches, restarts and stops a set of processes; leaves none behind, however it ends itself."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from workers.stack.journal import Journal
from workers.stack.tether import adopt_orphans, die_with_parent, end_strays

POLL_INTERVAL_S = 0.05
# A process that lived this long is healthy: its next crash starts again with the shortest delay.
HEALTHY_AFTER_S = 30.0
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
# While the stack comes up a service that keeps dying is a mistake to report; later it is an incident to outlive.
START_ATTEMPTS = 4


class StackFailed(RuntimeError):
    """A service did not become ready."""


class StopRequested(Exception):
    """Somebody asked the supervisor to stop while it was waiting for something else."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process to keep alive. `is_ready` is asked until it says yes; a log line may say it instead."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    is_ready: Callable[[], bool] | None = None
    ready_line: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    # What the kernel sends it when the supervisor itself is killed. Data is safe with either: a worker that closed
    # politely would wait for a broker that has gone as well.
    death_signal: signal.Signals = signal.SIGKILL
    grace_s: float = 10
    is_quiet: bool = False  # its lines go to its log file alone


@dataclass(kw_only=True)
class _Running:
    """What the supervisor knows of a service now; only the main thread changes it, but for `said_ready`."""

    service: Service
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    failures: int = 0
    restart_at: float | None = None
    is_ready: bool = False
    said_ready: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Owns the processes of one stack. Use from the main thread: the kernel ties children to the starting thread."""

    def __init__(self, journal: Journal, *, environment: Mapping[str, str]) -> None:
        self._journal = journal
        self._environment = environment
        self._groups: dict[str, list[_Running]] = {}
        self._step: _Running | None = None
        self._stop_signals = 0
        adopt_orphans()
        for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(stop, self._on_signal)

    def start(self, group: str, services: Sequence[Service]) -> None:
        """Start services beside each other and return at once; what is in one group will be stopped together."""
        started = [_Running(service=service) for service in services]
        self._groups.setdefault(group, []).extend(started)
        for running in started:
            self._launch(running)

    def wait_ready(self, names: Sequence[str], *, timeout_s: float) -> None:
        """Return when all named services are ready; raises StackFailed with their last lines, or StopRequested."""
        deadline = time.monotonic() + timeout_s
        waiting = [running for running in self._services() if running.service.name in names]
        while not all(running.is_ready for running in waiting):
            self._turn()
            for running in waiting:
                late = time.monotonic() > deadline and not running.is_ready
                if running.failures >= START_ATTEMPTS or late:
                    raise StackFailed(
                        f"{running.service.name} did not become ready; its last lines:\n"
                        + self._journal.tail(running.service.name)
                    )

    def run_step(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path
    ) -> None:
        """Run a command to its end with the same log and ties; raises StackFailed when it fails."""
        started_at = time.monotonic()
        service = Service(name=name, command=tuple(command), environment=environment, folder=folder)
        step = self._step = _Running(service=service)
        process = self._open(step)
        try:
            while process.poll() is None:
                self._turn()
        finally:
            self._halt([step])
            self._step = None
        if process.returncode != 0:
            raise StackFailed(f"{name} failed; its last lines:\n" + self._journal.tail(name))
        self._journal.say(f"{name} took {time.monotonic() - started_at:.1f} s")

    def run_until_stopped(self) -> None:
        """Restart what crashes until somebody sends SIGINT, SIGTERM or SIGHUP."""
        try:
            while True:
                self._turn()
        except StopRequested:
            return

    def stop(self) -> None:
        """Stop everything, the group started last first; a second signal ends the patience."""
        started_at = time.monotonic()
        self._stop_signals = min(self._stop_signals, 1)
        while self._groups:
            _, group = self._groups.popitem()
            self._halt(group)
        strays = end_strays(known=set())
        note = f", {strays} stray processes killed" if strays else ""
        self._journal.say(f"stopped in {time.monotonic() - started_at:.1f} s{note}")

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stop_signals += 1

    def _turn(self) -> None:
        if self._stop_signals:
            raise StopRequested
        for running in self._services():
            self._watch(running)
        time.sleep(POLL_INTERVAL_S)

    def _watch(self, running: _Running) -> None:
        now = time.monotonic()
        if running.process is None:
            if running.restart_at is not None and now >= running.restart_at:
                self._launch(running)
        elif running.process.poll() is not None:
            self._bury(running, now)
        elif not running.is_ready and self._answers(running):
            running.is_ready = True
            self._journal.say(f"{running.service.name} is ready after {now - running.started_at:.1f} s")

    def _answers(self, running: _Running) -> bool:
        service = running.service
        if service.is_ready is not None:
            return service.is_ready()
        return service.ready_line is None or running.said_ready.is_set()

    def _launch(self, running: _Running) -> None:
        running.restart_at = None
        running.is_ready = False
        running.said_ready.clear()
        self._open(running)

    def _open(self, running: _Running) -> subprocess.Popen[bytes]:
        service = running.service
        running.started_at = time.monotonic()
        # A session of its own keeps the terminal's Ctrl-C from it: only the supervisor decides who stops and when.
        process = running.process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Safe beside threads: it makes two system calls and takes no lock.
            preexec_fn=die_with_parent(service.death_signal),  # noqa: PLW1509
            env={**self._environment, **service.environment},
            cwd=service.folder,
        )
        threading.Thread(target=self._pump, args=(running, process.stdout), daemon=True).start()
        return process

    def _pump(self, running: _Running, output: IO[bytes]) -> None:
        for raw in output:
            line = raw.decode(errors="replace").rstrip()
            self._journal.write(running.service.name, line, shown=not running.service.is_quiet)
            if running.service.ready_line is not None and running.service.ready_line in line:
                running.said_ready.set()

    def _bury(self, running: _Running, now: float) -> None:
        assert running.process is not None
        _kill_session(running.process.pid)
        end_strays(known={other.process.pid for other in self._all() if other.process is not None})
        running.failures = 1 if now - running.started_at > HEALTHY_AFTER_S else running.failures + 1
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (running.failures - 1))
        running.restart_at = now + delay_s
        self._journal.say(
            f"{running.service.name} ended with {running.process.returncode}; "
            f"restart {running.failures} in {delay_s:.1f} s"
        )
        running.process = None
        running.is_ready = False

    def _halt(self, group: Sequence[_Running]) -> None:
        """Stop a group of processes together: the polite signal, the grace of each, then SIGKILL to its session."""
        asked_at = time.monotonic()
        alive = [running.process for running in group if running.process is not None]
        for running in group:
            if running.process is not None and running.process.poll() is None:
                os.kill(running.process.pid, running.service.stop_signal)
        for running in group:
            while running.process is not None and running.process.poll() is None:
                if time.monotonic() - asked_at > running.service.grace_s or self._stop_signals > 1:
                    self._journal.say(f"{running.service.name} did not stop in time: killed")
                    _kill_session(running.process.pid)
                    running.process.wait()
                time.sleep(0.01)
        for process in alive:
            _kill_session(process.pid)

    def _services(self) -> list[_Running]:
        return [running for group in self._groups.values() for running in group]

    def _all(self) -> list[_Running]:
        return self._services() + ([self._step] if self._step is not None else [])


def _kill_session(leader: int) -> None:
    """Kill what is left of a process's own group, such as the pool children of a killed worker."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
