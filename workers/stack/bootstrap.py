"""Makes .venv from the hash-pinned lock; runs on a bare Python, so it imports the standard library alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LOCK = PROJECT / "requirements.lock"
VENV = PROJECT / ".venv"
FRESH = PROJECT / ".venv.new"
PYTHON = FRESH / "bin" / "python"

# PyTorch's own index holds the CPU builds; the public package index has the CUDA build under the plain version.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

PIP_VERSION = "26.3"
PIP_WHEEL = f"pip-{PIP_VERSION}-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
DEFAULT_INDEX = "https://pypi.org/simple"

QUIET = ("-q", "--disable-pip-version-check", "--no-input")


class InstallError(RuntimeError):
    """The environment could not be made; the message says what to do."""


def main() -> int:
    torch_kind = os.environ.get("CANDID8_TORCH", "cpu")
    if torch_kind not in ("cpu", "cuda"):
        return _fail(f"CANDID8_TORCH={torch_kind} is neither cpu nor cuda")
    wanted = _stamp(torch_kind)
    if _installed_stamp() == wanted:
        return 0
    with (PROJECT / ".venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if _installed_stamp() == wanted:
            return 0  # another call made it while this one waited
        print(
            "candid8: installing into .venv (once; some minutes on a slow line)", file=sys.stderr, flush=True
        )
        try:
            _check_machine()
            _make_venv()
            _install_torch(torch_kind)
            _install_lock()
            _put_in_place(wanted)
        except InstallError as error:
            return _fail(str(error))
    return 0


def _stamp(torch_kind: str) -> str:
    """What the environment depends on: the lock, the project file's tool versions, this Python, the torch build."""
    parts = (LOCK.read_bytes(), repr(_tool_versions()).encode(), sys.version.encode(), torch_kind.encode())
    digest = hashlib.sha256()
    for part in (*parts, str(VENV).encode()):
        digest.update(part + b"\0")
    return digest.hexdigest()


def _installed_stamp() -> str | None:
    path = VENV / ".stamp"
    return path.read_text() if path.exists() else None


def _tool_versions() -> dict[str, str]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        versions: dict[str, str] = tomllib.load(file)["tool"]["candid8"]
    return versions


def _check_machine() -> None:
    machine, system = platform.machine(), platform.system()
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        raise InstallError(
            f"the embedded servers exist for Linux on x86_64 and aarch64, not for {system} on {machine}"
        )
    free_bytes = shutil.disk_usage(PROJECT).free
    if free_bytes < 4_000_000_000:
        raise InstallError(
            f"the environment takes about 3 GB; only {free_bytes / 1e9:.1f} GB are free in {PROJECT}"
        )


def _make_venv() -> None:
    """An empty environment with pip, also where Debian has split ensurepip off into a package of its own."""
    shutil.rmtree(FRESH, ignore_errors=True)
    if _has_ensurepip():
        _run(sys.executable, "-m", "venv", str(FRESH))
        return
    _run(sys.executable, "-m", "venv", "--without-pip", str(FRESH))
    wheel = _fetch_pip(FRESH)
    _run(str(PYTHON), f"{wheel}/pip", "install", *QUIET, "--no-index", str(wheel))
    wheel.unlink()


def _has_ensurepip() -> bool:
    return _succeeds(sys.executable, "-c", "import ensurepip, venv")


def _fetch_pip(folder: Path) -> Path:
    """Download the pinned pip wheel from the package index and check its hash."""
    index = os.environ.get("PIP_INDEX_URL", DEFAULT_INDEX).rstrip("/")
    advice = "install the venv module first (Debian 12: apt install python3-venv)"
    try:
        with urllib.request.urlopen(f"{index}/pip/", timeout=60) as page:
            links = re.findall(r'href="([^"#]+)', page.read().decode())
            place = next((link for link in links if link.endswith(f"/{PIP_WHEEL}")), None)
            if place is None:
                raise InstallError(f"{index} does not offer {PIP_WHEEL}; {advice}")
            url = urllib.parse.urljoin(page.url, place)
        with urllib.request.urlopen(url, timeout=60) as reply:
            content = reply.read()
    except urllib.error.URLError as error:
        raise InstallError(
            f"this Python has no pip, and {index} cannot be reached ({error.reason}); {advice}"
        ) from error
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        raise InstallError(f"{PIP_WHEEL} from {index} is not the file it should be")
    wheel = folder / PIP_WHEEL
    wheel.write_bytes(content)
    return wheel


def _install_torch(kind: str) -> None:
    version = _tool_versions()["torch"]
    if kind == "cuda":
        # Its CUDA libraries come as packages: let the resolver bring them. uv takes them from the index beside it.
        _install_uv()
        _run(str(FRESH / "bin" / "uv"), "pip", "install", "-q", "-p", str(PYTHON), f"torch=={version}")
        return
    pinned = ("--no-deps", f"torch=={version}+cpu")
    # A local index or wheel folder may offer the CPU build itself; the answer of the public one is a quick no.
    if _succeeds(*_pip("install"), *pinned):
        return
    if _succeeds(
        *_pip("install"), "--retries", "1", "--timeout", "20", "--index-url", TORCH_CPU_INDEX, *pinned
    ):
        return
    print(
        "candid8: no CPU build of torch within reach; taking the index's own build",
        file=sys.stderr,
        flush=True,
    )
    _run(*_pip("install"), f"torch=={version}")


def _install_lock() -> None:
    _install_uv()
    uv = str(FRESH / "bin" / "uv")
    if _succeeds(uv, "pip", "install", "-q", "-p", str(PYTHON), "--require-hashes", "-r", str(LOCK)):
        return
    print("candid8: uv failed; installing with pip", file=sys.stderr, flush=True)
    _run(*_pip("install"), "--require-hashes", "-r", str(LOCK))


def _install_uv() -> None:
    _succeeds(*_pip("install"), "--no-deps", f"uv=={_tool_versions()['uv']}")


def _put_in_place(stamp: str) -> None:
    """Give the finished environment its name; scripts and activate files carry the path they were made under."""
    for path in [FRESH / "pyvenv.cfg", *(FRESH / "bin").iterdir()]:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        content = path.read_bytes()
        if os.fsencode(FRESH) in content:
            path.write_bytes(content.replace(os.fsencode(FRESH), os.fsencode(VENV)))
    (FRESH / ".stamp").write_text(stamp)
    if VENV.exists():
        old = VENV.with_name(".venv.old")
        shutil.rmtree(old, ignore_errors=True)
        VENV.rename(old)
        FRESH.rename(VENV)
        shutil.rmtree(old, ignore_errors=True)
    else:
        FRESH.rename(VENV)


def _pip(action: str) -> tuple[str, ...]:
    return (str(PYTHON), "-m", "pip", action, *QUIET)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command)} failed:\n{done.stdout.strip()}")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
