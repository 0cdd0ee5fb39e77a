"""Photographs: turned upright, flattened to sRGB, encoded anew, or refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from engine.errors import BadInput
from engine.services.photographs import Photograph, read_photograph


def encoded(image: Pillow.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(data: bytes, **limits: int) -> Photograph:
    return read_photograph(
        data, **{"max_bytes": 10**6, "max_pixels": 10**6, "min_side": 16, "max_side": 9000, **limits}
    )


def pixel(photograph: Photograph, at: tuple[int, int]) -> tuple[int, ...]:
    with Pillow.open(io.BytesIO(photograph.jpeg)) as image:
        value = image.convert("RGB").getpixel(at)
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_are_read(kind: str) -> None:
    photograph = read(encoded(Pillow.new("RGB", (900, 600), (200, 30, 30)), kind))
    assert (photograph.width, photograph.height) == (900, 600)
    with Pillow.open(io.BytesIO(photograph.thumbnail)) as small:
        assert (small.format, small.size) == ("JPEG", (512, 341))


def test_exif_turns_the_photograph_upright_and_is_dropped() -> None:
    image = Pillow.new("RGB", (60, 40), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 20, 40))
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    exif[0x010E] = "where I live"
    photograph = read(encoded(image, "JPEG", exif=exif, quality=95))
    assert (photograph.width, photograph.height) == (40, 60)
    assert pixel(photograph, (20, 5))[0] > 200 and pixel(photograph, (20, 55))[0] < 50
    assert b"where I live" not in photograph.jpeg


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Pillow.new("RGBA", (32, 32), (255, 0, 0, 0)), (255, 255, 255)),
        (Pillow.new("L", (32, 32), 128), (128, 128, 128)),
        (Pillow.new("1", (32, 32), 1), (255, 255, 255)),
        (Pillow.new("I;16", (32, 32), 65535), (255, 255, 255)),
        (Pillow.new("RGB", (32, 32), (10, 200, 30)).quantize(), (10, 200, 30)),
    ],
    ids=["transparent", "grey", "black and white", "16 bit", "palette"],
)
def test_every_kind_of_pixel_becomes_plain_colour(image: Pillow.Image, colour: tuple[int, ...]) -> None:
    found = pixel(read(encoded(image)), (16, 16))
    assert all(abs(one - other) <= 12 for one, other in zip(found, colour, strict=True)), found


def test_the_refusal_of_a_single_row_says_what_would_be_right() -> None:
    with pytest.raises(BadInput, match="3000 x 1; each side needs at least 16 pixels"):
        read(encoded(Pillow.new("RGB", (3000, 1))))
    with pytest.raises(BadInput, match="10000 x 32; its longer side may have 9000 pixels at most"):
        read(encoded(Pillow.new("RGB", (10_000, 32))))


def test_a_colour_profile_is_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Pillow.new("RGB", (32, 32), (10, 200, 30))
    assert all(
        abs(one - other) <= 4
        for one, other in zip(
            pixel(read(encoded(image, icc_profile=profile)), (5, 5)), (10, 200, 30), strict=True
        )
    )
    assert pixel(read(encoded(image, icc_profile=b"no profile")), (5, 5))[1] > 180


@pytest.mark.parametrize(
    ("data", "limits", "code"),
    [
        (b"", {}, "bad_image"),
        (b"hello", {}, "bad_image"),
        (encoded(Pillow.new("RGB", (32, 32)), "BMP"), {}, "bad_image"),
        (encoded(Pillow.new("RGB", (32, 32)), "TIFF"), {}, "bad_image"),
        (encoded(Pillow.effect_noise((64, 64), 50).convert("RGB"), "JPEG")[:400], {}, "bad_image"),
        (encoded(Pillow.new("RGB", (8, 64))), {}, "bad_image"),
        (encoded(Pillow.new("RGB", (3000, 1))), {}, "bad_image"),
        (encoded(Pillow.new("RGB", (1, 3000))), {}, "bad_image"),
        (encoded(Pillow.new("RGB", (10_000, 32))), {}, "image_too_large"),
        (encoded(Pillow.new("RGB", (64, 64))), {"max_pixels": 100}, "image_too_large"),
        (encoded(Pillow.new("RGB", (64, 64))), {"max_bytes": 10}, "image_too_large"),
        (encoded(Pillow.new("1", (14_000, 13_000))), {}, "image_too_large"),
    ],
)
def test_what_will_not_do_is_refused(data: bytes, limits: dict[str, int], code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read(data, **limits)
    assert refusal.value.code == code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_flipped_byte_is_more_than_a_refusal(kind: str) -> None:
    sound, codes = encoded(Pillow.new("RGB", (24, 20), (200, 30, 30)), kind), set()
    for position in range(0, len(sound), 3):
        damaged = bytearray(sound)
        damaged[position] ^= 0x55
        try:
            read(bytes(damaged))
        except BadInput as refusal:
            codes.add(refusal.code)
    assert codes <= {"bad_image", "image_too_large"}
