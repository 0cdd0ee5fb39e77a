"""The supervisor restarts what crashes, keeps data, refuses a second start, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.running_site import PROJECT
from workers.stack.addresses import read_addresses
from workers.stack.processes import ENVIRONMENT_NAMES

LIMIT_S = 60


class Stack:
    """A started `python -m workers.stack services` on a home of its own."""

    def __init__(self, home: Path, **extra: str) -> None:
        self.home = home
        self.addresses = home.parent / f"{home.name}.env"
        self.addresses.unlink(missing_ok=True)
        clean = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT_NAMES}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.stack", "services", "--home", home, "--env-file", self.addresses],
            cwd=PROJECT,
            env=clean | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_until_up(self) -> dict[str, str]:
        wait_for(lambda: self.addresses.exists() or self.process.poll() is not None)
        assert self.addresses.exists(), self.process.communicate()[0]
        return read_addresses(self.addresses)

    def log(self) -> str:
        return (self.home / "logs" / "candid8.log").read_text()

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sent)
        return self.process.wait(LIMIT_S)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def processes_of(home: Path) -> set[int]:
    """Every living process that was started for this home: its path is in the command line or the working folder."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "cmdline").read_bytes().decode(errors="replace") + str(
                (folder / "cwd").readlink()
            )
        except OSError:
            continue
        if str(home) in told:
            found.add(int(folder.name))
    return found


def process_with(home: Path, word: str) -> int:
    """The lowest process id of this home whose command line has the word: the server, not one of its children."""
    return min(pid for pid in processes_of(home) if word in Path(f"/proc/{pid}/cmdline").read_text())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    assert not processes_of(home)


def test_stopping_leaves_no_process_and_the_next_start_finds_its_data(home: Path) -> None:
    first = Stack(home)
    before = first.wait_until_up()
    with psycopg.connect(before["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 8 AS candidates")
    assert len(processes_of(home)) > 3
    assert first.stop(signal.SIGINT) == 0
    assert not processes_of(home)

    second = Stack(home)
    again = second.wait_until_up()
    with psycopg.connect(again["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT candidates FROM kept").fetchone() == (8,)
    assert again["SECRET_KEY"] == before["SECRET_KEY"]
    assert second.stop() == 0


def test_a_killed_supervisor_takes_every_server_with_it(home: Path) -> None:
    stack = Stack(home)
    stack.wait_until_up()
    stack.stop(signal.SIGKILL)
    wait_for(lambda: not processes_of(home))


def test_a_second_start_on_the_same_home_is_refused_with_the_way_out(home: Path) -> None:
    first = Stack(home)
    first.wait_until_up()
    second = Stack(home)
    output, _ = second.process.communicate(timeout=LIMIT_S)
    assert second.process.returncode == 1
    assert f"already runs on {home} (process {first.process.pid})" in output
    assert "make stop" in output
    first.stop()


def test_a_taken_port_is_named_before_anything_starts(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "workers.stack", "up", "--home", home, "--port", str(port)]
        refused = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert f"port {port} of 127.0.0.1 is taken" in refused.stderr
    assert not (home / "postgres").exists()


def test_a_table_of_sources_that_cannot_be_read_is_named_before_anything_starts(
    home: Path, tmp_path: Path
) -> None:
    table = tmp_path / "sources.toml"
    command = [sys.executable, "-m", "workers.stack", "up", "--home", home]
    for content, wrong in (
        (None, "No such file"),
        ("[trellis", "end of a table"),
        ("a = 1", "a is no source"),
    ):
        if content is not None:
            table.write_text(content)
        refused = subprocess.run(
            command,
            cwd=PROJECT,
            env=os.environ | {"SOURCES_TABLE": str(table)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert f"error: SOURCES_TABLE={table}" in refused.stderr and wrong in refused.stderr
        assert not home.exists()


@pytest.mark.parametrize(
    ("server", "word"), [("postgres", "bin/postgres"), ("valkey", "valkey-server"), ("s3", "mini")]
)
def test_a_killed_server_is_started_again(home: Path, server: str, word: str) -> None:
    stack = Stack(home)
    addresses = stack.wait_until_up()
    redis.Redis.from_url(addresses["REDIS_URL"]).set("kept", 1)
    os.kill(process_with(home, word), signal.SIGKILL)
    wait_for(lambda: stack.log().count(f"{server} is ready") == 2)
    with psycopg.connect(addresses["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert redis.Redis.from_url(addresses["REDIS_URL"]).get("kept") == b"1" or server == "valkey"
    assert stack.stop() == 0


def test_each_server_is_replaced_by_its_own_variable(home: Path) -> None:
    own = {
        "DATABASE_URL": "postgresql://lab@db.example/candid8",
        "S3_ENDPOINT_URL": "http://s3.example:8333",
        "S3_ACCESS_KEY_ID": "key",
    }
    stack = Stack(home, **own)
    addresses = stack.wait_until_up()
    assert own.items() <= addresses.items()
    assert "valkey.sock" in addresses["REDIS_URL"]
    assert not (home / "postgres").exists()
    assert [line.split()[2] for line in stack.log().splitlines() if "is ready" in line] == ["valkey"]
    stack.stop()


def test_secrets_are_drawn_once_and_readable_by_their_owner_alone(home: Path) -> None:
    stack = Stack(home, DATABASE_URL="postgresql:///none", S3_ENDPOINT_URL="http://none")
    stack.wait_until_up()
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    stack.stop()


def test_a_home_with_a_long_path_still_gets_its_sockets(tmp_path: Path) -> None:
    home = tmp_path / ("a-folder-whose-name-is-long" * 4)
    stack = Stack(home, DATABASE_URL="postgresql:///none", S3_ENDPOINT_URL="http://none")
    addresses = stack.wait_until_up()
    assert redis.Redis.from_url(addresses["REDIS_URL"]).ping()
    stack.stop()


def test_a_server_that_cannot_start_is_named_with_its_last_words(home: Path) -> None:
    first = Stack(home, REDIS_URL="redis://none", S3_ENDPOINT_URL="http://none")
    first.wait_until_up()
    first.stop()
    (home / "postgres" / "PG_VERSION").write_text("9\n")
    second = Stack(home, REDIS_URL="redis://none", S3_ENDPOINT_URL="http://none")
    output, _ = second.process.communicate(timeout=LIMIT_S)
    assert second.process.returncode == 1
    assert "postgres did not become ready" in output
    assert "database files are incompatible" in output
