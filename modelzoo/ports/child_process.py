"""A foreign package in an interpreter of its own: started when first asked, kept, watched by a clock, never trusted."""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from modelzoo.ports.children import protocol

ROOT = Path(__file__).resolve().parents[2]
SERVE = Path(__file__).parent / "children" / "serve.py"
TAIL_BYTES = 2000
STOP_S = 5.0


class SourceError(RuntimeError):
    """A foreign source that did not deliver. ``code`` is stable, for machines; the message is for the operator.

    ``source_missing``: interpreter or package is not there; ``source_timeout``; ``source_crashed``; ``source_failed``:
    the foreign package raised; ``answer_refused``: it answered something that its port does not take. Others come from
    a child (``option_missing``, ``signature_changed``, ``target_refused`` ...).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ChildProcess:
    """One child of ``modelzoo/ports/children`` in the foreign ``interpreter``, one request at a time.

    ``paths`` go first on its module path (clones that are not installed), ``environment`` is set before the foreign
    package is imported. A child that crashes or outlasts a limit is gone; the next request starts a new one.
    """

    def __init__(
        self,
        child: str,
        *,
        interpreter: Path,
        options: Mapping[str, Any],
        paths: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        start_limit_s: float,
        limit_s: float,
    ) -> None:
        if start_limit_s <= 0 or limit_s <= 0:
            raise ValueError("time limits must be positive")
        try:
            json.dumps(dict(options), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"options must be JSON: {error}") from error
        self.child, self.interpreter, self.options = child, interpreter, dict(options)
        self.paths, self.environment = tuple(paths), dict(environment or {})
        self.start_limit_s, self.limit_s = start_limit_s, limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, message: Mapping[str, Any]) -> list[Any]:
        """The items of the child's answer; starts it first when it is not running. Raises SourceError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._exchange(dict(message), limit_s=self.limit_s)

    def close(self) -> None:
        """Ends the child; the next request starts a new one."""
        with self._lock:
            self._stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self._stop()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by _stop
        try:
            self._process = subprocess.Popen(
                [str(self.interpreter), "-E", "-u", str(SERVE), str(ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._stop()
            raise SourceError(
                "source_missing",
                f"{self.child}: no interpreter can be started at {self.interpreter} ({error.strerror})",
            ) from error
        try:
            self._exchange(
                {
                    "kind": "start",
                    "child": self.child,
                    "options": self.options,
                    "paths": [str(path) for path in self.paths],
                    "environment": self.environment,
                },
                limit_s=self.start_limit_s,
            )
        except SourceError:
            self._stop()
            raise

    def _exchange(self, message: dict[str, Any], *, limit_s: float) -> list[Any]:
        deadline = time.monotonic() + limit_s
        try:
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(protocol.encoded(message))
            answer = protocol.decoded(
                self._read(protocol.length_in(self._read(protocol.HEADER.size, deadline)), deadline)
            )
        except (BrokenPipeError, EOFError) as error:
            raise self._gone() from error
        except TimeoutError as error:
            self._stop()
            raise SourceError(
                "source_timeout", f"{self.child} did not answer within {limit_s:g} s and was ended"
            ) from error
        except (ValueError, json.JSONDecodeError) as error:
            self._stop()
            raise SourceError("answer_refused", f"{self.child} answered no message: {error}") from error
        if answer["kind"] == "error":
            code = "source_missing" if answer.get("code") == "package_missing" else str(answer.get("code"))
            raise SourceError(code, f"{self.child}: {answer.get('message')}")
        if answer["kind"] != "answer" or not isinstance(answer.get("items"), list):
            self._stop()
            raise SourceError("answer_refused", f"{self.child} answered without items")
        return list(answer["items"])

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        pieces, left = [], count
        while left:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            piece = self._process.stdout.read(left)
            if not piece:
                raise EOFError
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _gone(self) -> SourceError:
        """What is known of a child that closed its pipe: how it ended and the last of what it said."""
        assert self._process is not None and self._errors is not None
        try:
            code: int | None = self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            code = None
        self._errors.seek(0, 2)
        self._errors.seek(max(0, self._errors.tell() - TAIL_BYTES))
        tail = self._errors.read().decode(errors="replace").strip()
        self._stop()
        how = (
            "closed its pipe"
            if code is None
            else f"ended with signal {-code}"
            if code < 0
            else f"ended with code {code}"
        )
        return SourceError("source_crashed", f"{self.child} {how}. It last said: {tail or 'nothing'}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()  # the child ends itself when its input closes
            try:
                process.wait(timeout=STOP_S / 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=STOP_S)
        if self._errors is not None:
            self._errors.close()
            self._errors = None
