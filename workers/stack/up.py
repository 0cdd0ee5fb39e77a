"""Brings one machine's Candid8 up in order: servers, pages, migrations, demo project, processes; then waits."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.stack.addresses import FILE_NAME, format_addresses, write_addresses
from workers.stack.frontend_build import build_frontend
from workers.stack.home import Home, HomeLock, PortBusy, is_free, open_home
from workers.stack.journal import Journal
from workers.stack.processes import (
    APP_PROCESSES,
    ENVIRONMENT_NAMES,
    STEPS,
    WEB,
    AppProcess,
    more_gpu_workers,
    source_worker,
)
from workers.stack.readiness import answers_http
from workers.stack.services import create_database, embedded_services
from workers.stack.sources import foreign_sources, sources_environment
from workers.stack.supervise import Service, StackFailed, StopRequested, Supervisor

PROJECT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 300.0


def run_services(root: Path, *, environment_file: Path | None, throwaway: bool) -> int:
    """Run the embedded servers alone until stopped; their addresses go to the file, or to the terminal.

    A throw-away home is faster, may lose data with the machine, and is removed at the end.
    """
    home = open_home(root)
    HomeLock(home).acquire()
    journal = Journal(home.logs, quiet=True)
    services, environment = embedded_services(home, given=os.environ, throwaway=throwaway)
    supervisor = Supervisor(journal, environment=os.environ)
    try:
        _start_servers(supervisor, home, services)
        if environment_file is None:
            print(format_addresses(environment), end="", flush=True)
        else:
            write_addresses(environment_file, environment)
        supervisor.run_until_stopped()
    except StopRequested:
        pass
    except StackFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        supervisor.stop()
        if throwaway:
            shutil.rmtree(home.root)
    return 0


def run_everything(root: Path, *, host: str, port: int, gpu_workers: int = 1) -> int:
    """Run the whole stack until stopped; returns the exit status. Raises HomeBusy, PortBusy, SourcesTableRefused."""
    sources = foreign_sources(os.environ)
    home = open_home(root)
    HomeLock(home).acquire()
    if not is_free(port, host=host):
        raise PortBusy(
            f"port {port} of {host} is taken by another program: choose one with `make up PORT=8001`"
        )
    journal = Journal(home.logs)
    services, environment = embedded_services(home, given=os.environ)
    inherited = (
        os.environ | environment | _application_environment(host) | sources_environment(os.environ, sources)
    )
    supervisor = Supervisor(journal, environment=inherited)
    try:
        _start_servers(supervisor, home, services)
        write_addresses(home.root / FILE_NAME, {name: inherited[name] for name in ENVIRONMENT_NAMES})
        build_frontend(supervisor, PROJECT)
        _prepare(supervisor, origins=_origins(host, port), sources=sources)
        wanted = (
            *APP_PROCESSES,
            *more_gpu_workers(gpu_workers),
            *(source_worker(name) for name in sources),
        )
        processes = [_as_service(process, home=home, host=host, port=port) for process in wanted]
        # The page first: the workers' imports would only keep it waiting.
        supervisor.start("application", [service for service in processes if service.name == WEB.name])
        supervisor.wait_ready([WEB.name], timeout_s=START_LIMIT_S)
        _announce(journal, home, host, port)
        supervisor.start("application", [service for service in processes if service.name != WEB.name])
        supervisor.run_until_stopped()
    except StopRequested:
        pass
    except StackFailed as failure:
        journal.say(f"not started: {failure}")
        return 1
    finally:
        supervisor.stop()
    return 0


def run_frontend_step(root: Path, step: Callable[[Supervisor, Path], None]) -> int:
    """Do something with node that needs no server."""
    supervisor = Supervisor(Journal(open_home(root).logs), environment=os.environ)
    try:
        step(supervisor, PROJECT)
    except (StackFailed, StopRequested) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _start_servers(supervisor: Supervisor, home: Home, services: list[Service]) -> None:
    supervisor.start("servers", services)
    supervisor.wait_ready([service.name for service in services], timeout_s=60)
    if any(service.name == "postgres" for service in services):
        create_database(home)


def _application_environment(host: str) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "engine.settings.dev"),
        "ALLOWED_HOSTS": os.environ.get("ALLOWED_HOSTS", f"localhost,127.0.0.1,{host}"),
        "PYTHONUNBUFFERED": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _prepare(supervisor: Supervisor, *, origins: Sequence[str], sources: Sequence[str]) -> None:
    manage = (sys.executable, str(PROJECT / "manage.py"))
    commands: dict[str, tuple[str, ...]] = {"check-sources": (*manage, "check_sources")} if sources else {}
    commands |= {step.name: step.command(manage=manage, origins=origins) for step in STEPS}
    commands["seed"] = (*manage, "seed_demo")
    for name, command in commands.items():
        supervisor.run_step(name, (*command, "--skip-checks"), environment={}, folder=PROJECT)


def _origins(host: str, port: int) -> list[str]:
    """Where this site's pages may come from: this machine, and what WEB_ORIGINS names beside it."""
    names = dict.fromkeys(("127.0.0.1", "localhost", _reachable(host)))
    return [*(f"http://{name}:{port}" for name in names), *os.environ.get("WEB_ORIGINS", "").split()]


def _as_service(process: AppProcess, *, home: Home, host: str, port: int) -> Service:
    path = process.ready_path
    return Service(
        name=process.name,
        command=process.command(python=sys.executable, host=host, port=port, home=str(home.root)),
        environment=process.environment,
        folder=PROJECT,
        is_ready=None if path is None else lambda: answers_http(_reachable(host), port, path),
        ready_line=process.ready_line,
        grace_s=process.grace_s,
    )


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _announce(journal: Journal, home: Home, host: str, port: int) -> None:
    journal.say("")
    journal.say(f"Candid8 is up: http://{_reachable(host)}:{port}/")
    accounts = home.root / "demo_accounts.txt"
    if accounts.exists():
        journal.say(f"demo accounts and their passwords: {accounts}")
    journal.say(f"logs: {home.logs}   stop: Ctrl-C")
    journal.say("")
