"""Pages with the real viewer and nothing else of the product, built and served under its content security policy."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from csp.utils import build_policy

from workers.stack.frontend_build import node_environment

FRONTEND = Path(__file__).resolve().parents[2] / "frontend"


def build_viewer_pages(folder: Path) -> None:
    """Writes `files.html` and `grid.html` with their scripts into ``folder``."""
    node = ["node", "node_modules/vite/bin/vite.js", "build", "--config", "tests/pages/vite.config.ts"]
    done = subprocess.run(
        [*node, "--outDir", str(folder), "--emptyOutDir"],
        cwd=FRONTEND,
        env=os.environ | node_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address under which the folder's files are served."""
    handler = partial(_WithPolicy, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _WithPolicy(SimpleHTTPRequestHandler):
    """Serves files with the header that the product's pages carry."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", build_policy())
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The test's output is no access log."""
