"""Masks: what is read, normalised, hashed and refused."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image as Pillow

from engine.errors import BadInput
from engine.services.masks import read_mask

SIZE = (40, 30)


def png(image: Pillow.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def drawn(mode: str = "L", *, on: object = 255, off: object = 0) -> Pillow.Image:
    image = Pillow.new(mode, SIZE, off)  # type: ignore[arg-type]
    image.paste(on, (5, 6, 15, 26))  # type: ignore[arg-type]
    return image


def claiming(side: int) -> bytes:
    """A small PNG whose header speaks of ``side`` x ``side`` pixels."""
    sound = png(drawn())
    header = b"IHDR" + struct.pack(">II", side, side) + sound[24:29]
    return sound[:12] + header + struct.pack(">I", zlib.crc32(header)) + sound[33:]


def test_box_and_area_are_those_of_the_white_pixels() -> None:
    mask = read_mask(png(drawn()), width=40, height=30)
    assert (mask.bbox, mask.area_px) == ((5, 6, 10, 20), 200)


def test_what_is_stored_is_a_one_bit_png_of_the_same_pixels() -> None:
    mask = read_mask(png(drawn()), width=40, height=30)
    with Pillow.open(io.BytesIO(mask.png)) as stored:
        assert (stored.format, stored.mode, stored.size) == ("PNG", "1", SIZE)
        assert stored.convert("L").tobytes() == drawn().tobytes()
    assert read_mask(mask.png, width=40, height=30) == mask


@pytest.mark.parametrize(
    "image",
    [
        drawn("1", on=1),
        drawn("RGB", on=(255, 255, 255), off=(0, 0, 0)),
        drawn("RGBA", on=(255, 255, 255, 255), off=(0, 0, 0, 0)),
        drawn("RGBA", on=(255, 255, 255, 255), off=(255, 255, 255, 0)),
        drawn("LA", on=(255, 255), off=(0, 255)),
        drawn("L", on=200, off=90),
        drawn("L").convert("P"),
        drawn("I;16", on=65535),
    ],
    ids=["1", "RGB", "RGBA", "transparent white", "LA", "grey", "palette", "16 bit"],
)
def test_every_kind_of_png_of_one_drawing_is_one_mask(image: Pillow.Image) -> None:
    assert read_mask(png(image), width=40, height=30) == read_mask(png(drawn()), width=40, height=30)


def test_the_hash_knows_the_size() -> None:
    wide, tall = Pillow.new("L", (64, 32), 0), Pillow.new("L", (32, 64), 0)
    for image in (wide, tall):
        image.paste(255, (0, 0, 32, 16))
    assert (
        read_mask(png(wide), width=64, height=32).sha256 != read_mask(png(tall), width=32, height=64).sha256
    )


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    for side in (9_000, 60_000):
        with pytest.raises(BadInput, match="larger than the photograph"):
            read_mask(claiming(side), width=40, height=30)


@pytest.mark.parametrize("cut", [0, 8, 20, 50, -20])
def test_a_cut_file_is_refused(cut: int) -> None:
    with pytest.raises(BadInput) as refusal:
        read_mask(png(drawn())[:cut], width=40, height=30)
    assert refusal.value.code == "bad_mask"


def test_no_flipped_byte_is_more_than_a_refusal() -> None:
    sound, codes = png(drawn()), set()
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 0x55
        try:
            read_mask(bytes(damaged), width=40, height=30)
        except BadInput as refusal:
            codes.add(refusal.code)
    assert codes == {"bad_mask"}
