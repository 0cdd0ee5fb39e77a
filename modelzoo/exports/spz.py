"""3D Gaussians as SPZ, Niantic's open compressed splat format: about 16 bytes each before gzip.

Version 3 of the format: a 16-byte header, then all positions (24-bit fixed point), opacities, colours and log scales
(one byte a number) and rotations (the three smallest components in ten bits each), in one gzip stream. Axes are the
format's own, x right, y up, z backward: an object stands upright as its GLB does, and a scene's camera looks along -z.
The format has no metadata, so frame and unit stand in the gzip header's comment.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from modelzoo import frames
from modelzoo.exports.gaussian_ply import OBJECT_FRAME, SH_C0, Gaussians

MAGIC, VERSION = 0x5053474E, 3
POSITION_BITS, MOST_FRACTIONAL_BITS = 23, 20  # a sign and 23 bits; 20 of them after the point resolve 1e-6
COLOUR_SCALE = 0.15
SCALE_OFFSET, SCALE_STEPS = 10.0, 16.0  # log scales from -10 to 6 in sixteenths
SMALLEST_BITS = 9  # of a component's size, which is at most sqrt(1/2)
GZIP_HEADER = b"\x1f\x8b\x08\x10\0\0\0\0\0\xff"  # deflate, with a comment, no time, any system

Bytes = NDArray[np.uint8]


def spz_from_gaussians(gaussians: Gaussians) -> bytes:
    """The gzipped file. Raises ValueError when there is no Gaussian or a position is not finite."""
    n = len(gaussians.positions)
    if not n or not np.isfinite(gaussians.positions).all():
        raise ValueError("an SPZ file needs at least one Gaussian, and finite positions")
    is_object = gaussians.frame == OBJECT_FRAME
    turn = (frames.T_GLB_OBJECT if is_object else frames.T_GLB_CAMERA)[:3, :3]
    positions = gaussians.positions.astype(np.float64) @ turn.T
    rotations = frames.multiply_wxyz(frames.wxyz_from_rotation(turn), gaussians.rotations_wxyz)
    bits = _fractional_bits(positions)
    colours = (gaussians.colours.astype(np.float64) - 0.5) / SH_C0
    scales = np.log(np.maximum(gaussians.scales.astype(np.float64), 1e-6))
    payload = b"".join(
        [
            struct.pack("<IIIBBBB", MAGIC, VERSION, n, 0, bits, 0, 0),
            _fixed_point(positions, bits).tobytes(),
            _byte(gaussians.opacities * 255.0).tobytes(),
            _byte(colours * (COLOUR_SCALE * 255) + 127.5).tobytes(),
            _byte((scales + SCALE_OFFSET) * SCALE_STEPS).tobytes(),
            _smallest_three(frames.xyzw_from_wxyz(rotations)).tobytes(),
        ]
    )
    return _gzipped(payload, comment=f"frame={gaussians.frame}; unit={gaussians.unit}; axes=RUB")


def _fractional_bits(positions: NDArray[np.float64]) -> int:
    """As many bits after the point as the farthest position leaves."""
    farthest = float(np.abs(positions).max())
    whole = max(0, math.floor(math.log2(max(farthest, 1e-9))) + 1)
    if whole > POSITION_BITS:
        raise ValueError(f"a position {farthest:g} from the origin is beyond the format's range")
    return min(MOST_FRACTIONAL_BITS, POSITION_BITS - whole)


def _fixed_point(positions: NDArray[np.float64], bits: int) -> Bytes:
    """(N, 9): three little-endian signed numbers of three bytes."""
    limit = 2**POSITION_BITS - 1
    whole = np.clip(np.rint(positions * 2**bits), -limit, limit).astype("<i4")
    low: Bytes = np.ascontiguousarray(whole).view(np.uint8).reshape(-1, 3, 4)[..., :3]
    return low


def _byte(values: NDArray[np.floating]) -> Bytes:
    whole: Bytes = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return whole


def _smallest_three(rotations_xyzw: NDArray[np.float64]) -> NDArray[np.uint32]:
    """(N,): which component is largest in two bits, then sign and size of the others, first component highest."""
    q = rotations_xyzw / np.linalg.norm(rotations_xyzw, axis=1, keepdims=True)
    largest = np.abs(q).argmax(axis=1)
    q = np.where(np.take_along_axis(q, largest[:, None], axis=1) < 0, -q, q)
    packed: NDArray[np.uint32] = largest.astype(np.uint32)
    sizes = np.rint(np.abs(q) * math.sqrt(2) * (2**SMALLEST_BITS - 1)).astype(np.uint32)
    fields = ((q < 0).astype(np.uint32) << SMALLEST_BITS) | np.minimum(sizes, 2**SMALLEST_BITS - 1)
    for component in range(4):
        is_stored = largest != component
        packed = np.where(is_stored, (packed << (SMALLEST_BITS + 1)) | fields[:, component], packed)
    return packed.astype(np.dtype("<u4"))


def _gzipped(payload: bytes, *, comment: str) -> bytes:
    deflate = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    body = deflate.compress(payload) + deflate.flush()
    tail = struct.pack("<II", zlib.crc32(payload), len(payload) & 0xFFFFFFFF)
    return GZIP_HEADER + comment.encode("ascii") + b"\0" + body + tail
