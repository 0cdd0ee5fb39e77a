"""TensorBoard on what training runs wrote: ``python -m training.board --logdir .candid8/runs --port 6006``.

The package's own command also loads the plugins that other packages bring, and ends where one cannot be loaded:
Open3D's wants a library of the system that its wheel lacks. Here are TensorBoard's own plugins alone.
"""

from __future__ import annotations

import sys

from tensorboard.default import get_static_plugins
from tensorboard.program import TensorBoard


def main(arguments: list[str] | None = None) -> int:
    """Serves until it is stopped; takes what ``tensorboard`` takes (--logdir, --host, --port)."""
    given = sys.argv[1:] if arguments is None else arguments
    board = TensorBoard(plugins=get_static_plugins())
    board.configure(argv=["training.board", *given])
    status: int = board.main()
    return status


if __name__ == "__main__":
    sys.exit(main())
