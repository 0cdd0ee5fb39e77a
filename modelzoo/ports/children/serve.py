"""The long-lived child process of a port: reads requests from its standard input until that closes.

Run as a file by the foreign interpreter: ``python -E -u serve.py ROOT``, ROOT being the folder that holds modelzoo.
What the foreign package prints goes to standard error; standard output belongs to the protocol alone.
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO


def main(root: str) -> None:
    """Serves until the parent closes its end; a parent that dies ends this process at once, whatever it is doing."""
    here = str(Path(__file__).parent)
    sys.path[:] = [*(folder for folder in sys.path if folder != here), root]
    from modelzoo.ports.children import protocol

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    child: Any = None
    state: Any = None
    options: dict[str, Any] = {}
    while True:
        message = requests.get()
        try:
            if message["kind"] == "start":
                _prepare(message)
                options = message["options"]
                child = importlib.import_module(f"modelzoo.ports.children.{message['child']}")
                state = child.load(options)
                answer: dict[str, Any] = {"kind": "answer", "items": []}
            else:
                answer = {"kind": "answer", "items": _answered(child, state, message, options)}
        except Exception as error:  # noqa: BLE001  the boundary: whatever the foreign package raises is reported
            traceback.print_exc()
            code = getattr(error, "code", "source_failed")
            answer = {"kind": "error", "code": str(code), "message": f"{type(error).__name__}: {error}"}
        answers.write(protocol.encoded(answer))
        answers.flush()


def _listen(stream: BinaryIO, requests: queue.Queue[dict[str, Any]]) -> None:
    from modelzoo.ports.children import protocol

    while (message := protocol.read_message(stream)) is not None:
        requests.put(message)
    os._exit(0)


def _prepare(message: Mapping[str, Any]) -> None:
    """Environment variables and folders that the foreign package needs before it is imported."""
    os.environ.update(message["environment"])
    sys.path[:0] = message["paths"]


def _answered(child: Any, state: Any, message: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    from modelzoo.ports.children.foreign_side import Asked

    asked = Asked.read(message, options)
    return child.layouts(state, asked) if message["kind"] == "layout" else child.generate(state, asked)


if __name__ == "__main__":
    main(sys.argv[1])
