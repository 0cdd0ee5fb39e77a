"""Photographs and masks between blobs and arrays."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from django.conf import settings
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from engine import blobs
from engine.errors import BadInput


def photograph(key: str) -> NDArray[np.uint8]:
    """H x W x 3 sRGB; raises BadInput when the blob is no picture of acceptable size."""
    return np.array(_opened(blobs.get(key)).convert("RGB"))


def mask(key: str) -> NDArray[np.bool_]:
    """H x W, true on the object; raises BadInput when the blob is no picture of acceptable size."""
    return np.array(_opened(blobs.get(key)).convert("L")) > 127


def mask_png(array: NDArray[np.bool_]) -> bytes:
    """A 1-bit PNG, white on the object."""
    buffer = BytesIO()
    Image.fromarray(array.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()


def _opened(data: bytes) -> Image.Image:
    try:
        picture = Image.open(BytesIO(data))
        if picture.width * picture.height > settings.MAX_IMAGE_PIXELS:
            raise BadInput(f"{picture.width} x {picture.height} pixels are too many.", code="image_too_large")
        picture.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"This is no picture: {error}", code="bad_image") from error
    return picture
