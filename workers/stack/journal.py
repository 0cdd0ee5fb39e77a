"""Where the processes' lines go: prefixed on the terminal, and plain in `.candid8/logs/`, rotated by size."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import IO

LARGEST_LOG_BYTES = 20_000_000
COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95)
PREFIX_WIDTH = 12


class Journal:
    """Thread-safe: every process has a thread that reads its output and writes it here."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self._folder = folder
        self._quiet = quiet
        self._lock = threading.Lock()
        self._files: dict[str, IO[bytes]] = {}
        self._coloured = sys.stdout.isatty()

    def write(self, name: str, line: str, *, shown: bool = True) -> None:
        """Write one line of the named process to its log file and, if it is to be shown, to the terminal."""
        with self._lock:
            file = self._file(name)
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n".encode())
            if shown and not self._quiet:
                self._show(name, line)

    def say(self, line: str) -> None:
        """A line of the supervisor itself."""
        self.write("candid8", line)

    def tail(self, name: str, lines: int = 20) -> str:
        """The last lines of a process, for the message that explains why it did not start."""
        with self._lock:
            path = self._folder / f"{name}.log"
            return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _file(self, name: str) -> IO[bytes]:
        file = self._files.get(name)
        if file is None or file.tell() > LARGEST_LOG_BYTES:
            path = self._folder / f"{name}.log"
            if file is not None:
                file.close()
            if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
            file = self._files[name] = path.open("ab", buffering=0)
        return file

    def _show(self, name: str, line: str) -> None:
        prefix = f"{name:<{PREFIX_WIDTH}}|"
        if self._coloured:
            prefix = f"\033[{COLOURS[sum(name.encode()) % len(COLOURS)]}m{prefix}\033[0m"
        try:
            sys.stdout.write(f"{prefix} {line}\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            self._quiet = True  # whoever read our output has gone; the log files go on
