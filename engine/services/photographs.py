"""Reads photographs that people hand in: upright, sRGB, re-encoded, or a clear refusal."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from engine.errors import BadInput
from engine.services.masks import BROKEN_FILE

FORMATS = ("JPEG", "PNG", "WEBP")
QUALITY = 95
THUMBNAIL_PX = 512
THUMBNAIL_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """The photograph as it is stored, and a small one; both JPEG."""

    jpeg: bytes
    thumbnail: bytes
    width: int
    height: int


def read_photograph(
    data: bytes, *, max_bytes: int, max_pixels: int, min_side: int, max_side: int
) -> Photograph:
    """Decodes, turns upright, converts to sRGB and encodes anew (metadata such as the place are dropped).

    Raises BadInput: bad_image for anything but a sound JPEG, PNG or WebP, image_too_large over the limits.
    """
    if len(data) > max_bytes:
        raise BadInput(
            f"The file has {len(data) / 1e6:.1f} MB; a photograph may have {max_bytes / 1e6:.0f} MB at most.",
            code="image_too_large",
        )
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise BadInput(
                    f"The photograph is {image.width} x {image.height}; it may have {max_pixels / 1e6:.0f} megapixels "
                    "at most.",
                    code="image_too_large",
                )
            if min(image.size) < min_side:
                raise BadInput(
                    f"The photograph is {image.width} x {image.height}; each side needs at least {min_side} pixels.",
                    code="bad_image",
                )
            if max(image.size) > max_side:
                raise BadInput(
                    f"The photograph is {image.width} x {image.height}; its longer side may have {max_side} pixels "
                    "at most.",
                    code="image_too_large",
                )
            upright = _to_srgb(ImageOps.exif_transpose(image))
    except Pillow.DecompressionBombError as error:
        raise BadInput(
            f"The photograph has too many pixels; it may have {max_pixels / 1e6:.0f} megapixels at most.",
            code="image_too_large",
        ) from error
    except BROKEN_FILE as error:
        raise BadInput(
            "This is no readable photograph: send a sound JPEG, PNG or WebP file.", code="bad_image"
        ) from error
    small = upright.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Pillow.Resampling.LANCZOS)
    return Photograph(
        jpeg=_jpeg(upright, QUALITY),
        thumbnail=_jpeg(small, THUMBNAIL_QUALITY),
        width=upright.width,
        height=upright.height,
    )


def _to_srgb(image: Pillow.Image) -> Pillow.Image:
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "CMYK"}:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a damaged profile: most viewers show the plain values too
        if converted is not None:
            return converted
    if image.mode.startswith("I"):
        return image.point(lambda value: value / 257).convert("L").convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        ground = Pillow.new("RGBA", image.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _jpeg(image: Pillow.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=0 if quality >= QUALITY else 2)
    return out.getvalue()
