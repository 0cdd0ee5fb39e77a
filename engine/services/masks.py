"""Reads masks that people send: a PNG becomes a 1-bit mask with its hash, box and area, or a clear refusal."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image as Pillow

from engine.errors import BadInput

MIN_AREA_PX = 16
#: What Pillow raises for files that are cut, damaged or not what they say.
BROKEN_FILE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,
)


@dataclass(frozen=True, kw_only=True)
class MaskStats:
    """A mask as it is stored: 1-bit PNG at the photograph's size, white = object."""

    png: bytes
    sha256: str  # of the pixels, not of the PNG: another encoder gives the same mask the same hash
    bbox: tuple[int, int, int, int]  # x, y, width, height
    area_px: int


def read_mask(png: bytes, *, width: int, height: int) -> MaskStats:
    """The mask in ``png`` for a photograph of ``width`` x ``height``; white (>= 128) is the object.

    Raises BadInput with code bad_mask for anything but a PNG of that size which marks some, and not all, pixels.
    """
    mask = read_png(png, what="mask", code="bad_mask", max_pixels=width * height)
    if mask.size != (width, height):
        raise BadInput(
            f"The mask is {mask.width} x {mask.height} pixels; it must have the photograph's size, {width} x {height}.",
            code="bad_mask",
        )
    bits = mask.point([0] * 128 + [255] * 128).convert("1", dither=Pillow.Dither.NONE)
    area_px = bits.convert("L").histogram()[255]
    box = bits.getbbox()
    if box is None or area_px < MIN_AREA_PX:
        raise BadInput(
            f"The mask marks {area_px} pixels; paint the object white on black, at least {MIN_AREA_PX} pixels.",
            code="bad_mask",
        )
    if area_px == width * height:
        raise BadInput(
            "The mask marks the whole photograph; paint only the object white and leave the rest black.",
            code="bad_mask",
        )
    left, top, right, bottom = box
    size = struct.pack("<II", width, height)
    return MaskStats(
        png=_encode(bits),
        sha256=hashlib.sha256(size + bits.tobytes()).hexdigest(),
        bbox=(left, top, right - left, bottom - top),
        area_px=area_px,
    )


def read_png(png: bytes, *, what: str, code: str, max_pixels: int) -> Pillow.Image:
    """The decoded PNG in grey (mode L). Raises BadInput with ``code`` for anything else or for too many pixels."""
    try:
        with Pillow.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > max_pixels:
                raise BadInput(
                    f"The {what} is {image.width} x {image.height} pixels; it must not be larger than the photograph.",
                    code=code,
                )
            image.load()
            if image.mode == "I;16":
                return image.point(lambda value: value / 257).convert("L")
            if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
                return _on_black(image)
            return image.convert("L")
    except Pillow.DecompressionBombError as error:
        raise BadInput(f"The {what} must not be larger than the photograph.", code=code) from error
    except BROKEN_FILE as error:
        raise BadInput(f"The {what} is not a readable PNG: send an 8-bit or 1-bit PNG.", code=code) from error


def _on_black(image: Pillow.Image) -> Pillow.Image:
    """What a browser canvas shows: transparent pixels count as black."""
    ground = Pillow.new("RGBA", image.size, (0, 0, 0, 255))
    return Pillow.alpha_composite(ground, image.convert("RGBA")).convert("L")


def _encode(bits: Pillow.Image) -> bytes:
    out = io.BytesIO()
    bits.save(out, "PNG", optimize=True)
    return out.getvalue()
