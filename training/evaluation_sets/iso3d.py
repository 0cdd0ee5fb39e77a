"""ISO3D (huggingface.co/datasets/dylanebert/iso3d, MIT): synthetic pictures of single objects, without any truth.

Its folder ``png@1024`` holds one RGBA picture per prompt, whose alpha is the mask; ``jpg@512`` holds the same without
masks and is not read. Published scores on it are similarities of picture and shape (training/metrics/perceptual.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from training.evaluation_sets.cases import READING_ERRORS, EvaluationCase, read_image, read_mask, refuse

PICTURES = "png@1024"
EXPECTED = f"""  ROOT/{PICTURES}/<prompt_with_underscores>.png   RGBA, alpha = object
as in a copy of huggingface.co/datasets/dylanebert/iso3d"""


def iso3d_cases(root: Path) -> Iterator[EvaluationCase]:
    """One case per picture, by name: image and mask alone. Raises LayoutRefused, at once or at a bad picture."""
    files = sorted((root / PICTURES).glob("*.png"))
    if not files:
        raise refuse(root, f"no picture in {PICTURES}", expected=EXPECTED)
    return (_case(root, file) for file in files)


def _case(root: Path, file: Path) -> EvaluationCase:
    try:
        with Image.open(file) as opened:
            if "A" not in opened.getbands():
                raise ValueError("it has no alpha channel")
        image = read_image(file)
        mask = read_mask(file, shape=image.shape)
    except READING_ERRORS as error:
        raise refuse(root, f"{file.name} cannot be used: {error}", expected=EXPECTED) from error
    return EvaluationCase(name=file.stem, source="iso3d", image=image, mask=mask)
