"""What parent and child say to each other: JSON objects, each behind its length in four bytes, over two pipes.

Requests are ``{"kind": "start", "child", "options", "paths", "environment"}`` once and then ``{"kind": "generate" or
"layout", "folder", "seeds", "options", ...}``; answers are ``{"kind": "answer", "items": [...]}`` or ``{"kind":
"error", "code", "message"}``. Pictures travel as PNG, arrays as NPZ, in the request's folder.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

HEADER = struct.Struct(">I")
MAX_BYTES = 16 * 2**20  # a message names files; it never holds them

IMAGE, MASKS, POINTS, SHAPE = "image.png", "masks.npz", "points.npz", "shape.npz"


def encoded(message: dict[str, Any]) -> bytes:
    """The message with its length in front. Raises ValueError when it is too long or not JSON."""
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is too long")
    return HEADER.pack(len(body)) + body


def decoded(body: bytes) -> dict[str, Any]:
    """The message in ``body``. Raises ValueError when that is not a JSON object with a kind."""
    message = json.loads(body)
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise ValueError("a message is a JSON object with a kind")
    return message


def length_in(header: bytes) -> int:
    """How many bytes follow. Raises ValueError for more than any message has, as when something else wrote there."""
    (length,) = HEADER.unpack(header)
    if length > MAX_BYTES:
        raise ValueError(f"a message cannot have {length} bytes")
    return int(length)


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message, waiting for it; None at the end of the stream."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    wanted = length_in(header)
    body = stream.read(wanted)
    return decoded(body) if len(body) == wanted else None
