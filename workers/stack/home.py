"""The `.candid8/` folder of one installation: its data, sockets, logs, ports and secrets, and who holds its lock."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A unix socket path may have 107 bytes; `.s.PGSQL.5432.lock` is the longest name put below the socket folder.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432.lock")

SECRET_NAMES = (
    "secret_key",
    "s3_access_key_id",
    "s3_secret_access_key",
    "volume_write_key",
    "volume_read_key",
    "filer_write_key",
    "filer_read_key",
)

# weed uses a block of ports from its base, and the admin's gRPC port at a fixed distance of 10000 from the admin port.
OBJECT_STORE_PORT_OFFSETS = (*range(9), 10_008)


class HomeBusy(RuntimeError):
    """Another supervisor already runs on this home."""


class PortBusy(RuntimeError):
    """Another program listens where the page should be."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """The folder's layout; nothing is created until `open_home` is called."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def database(self) -> Path:
        return self.root / "postgres"

    @property
    def broker(self) -> Path:
        return self.root / "valkey"

    @property
    def object_store(self) -> Path:
        return self.root / "s3"

    @property
    def schedule(self) -> Path:
        return self.root / "beat"

    @property
    def sockets(self) -> Path:
        """The socket folder: inside the home, or below the temporary folder when the home's path is too long."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"candid8-{os.getuid()}-{digest}"


def open_home(root: Path) -> Home:
    """Make the folders that are missing; raises PermissionError when the socket folder belongs to somebody else."""
    home = Home(root=root.resolve())
    for folder in (home.root, home.sockets, home.logs, home.broker, home.object_store, home.schedule):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = home.sockets.lstat()
    if owner.st_uid != os.getuid() or not stat.S_ISDIR(owner.st_mode):
        raise PermissionError(f"{home.sockets} belongs to another account; remove it or move the project")
    return home


class HomeLock:
    """The lock that lets one supervisor at a time own a home; the kernel drops it with the process."""

    def __init__(self, home: Home) -> None:
        self._path = home.root / "supervisor.lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> None:
        """Take the lock and leave this process's id in it; raises HomeBusy naming the holder."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode().strip() or "unknown"
            raise HomeBusy(
                f"Candid8 already runs on {self._path.parent} (process {holder}): "
                "open the page it printed, or stop it first with `make stop`"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def holder(self) -> int | None:
        """The process id of the supervisor that holds the lock now, or None when nobody does."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(self._descriptor, 32, 0).decode().strip() or 0) or None
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return None


def load_secrets(home: Home) -> dict[str, str]:
    """Read the installation's secrets, drawing those that are missing; the file is readable by its owner alone."""
    path = home.root / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in SECRET_NAMES if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(32) for name in missing}
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(known, file, indent=1)
        fresh.replace(path)
    return known


def object_store_base_port(home: Home) -> int:
    """The first port of the object store's block: the remembered one while it is free, else a fresh one."""
    path = home.root / "ports.json"
    remembered: int | None = json.loads(path.read_text())["object_store"] if path.exists() else None
    start = 20_000 + int.from_bytes(hashlib.sha256(os.fsencode(home.root)).digest()[:2]) % 1000 * 20
    candidates = ([remembered] if remembered else []) + list(range(start, 45_000, 20))
    for base in candidates:
        if all(is_free(base + offset) for offset in OBJECT_STORE_PORT_OFFSETS):
            path.write_text(json.dumps({"object_store": base}))
            return base
    raise RuntimeError("no block of free ports on 127.0.0.1 for the object store")


def is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    """True when a server of ours could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
