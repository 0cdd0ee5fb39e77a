"""A small photograph with one object in it whose mask and point map are known."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

from engine.models import Image, Project, TargetObject
from engine.services import images
from engine.services.images import PointMapUpload
from engine.states import TargetStatus
from engine.transitions import transition
from tests.factories import TESTER, encode

WIDTH, HEIGHT = 160, 120
FOCAL = 150.0
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
DISC = (COLUMNS - 90) ** 2 + (ROWS - 60) ** 2 < 35**2
CAMERA = {"fx": FOCAL, "fy": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2}


def photograph_with_a_disc(*, seed: int = 0) -> bytes:
    """A red disc on a green ground with noise, as PNG; another photograph for another seed."""
    noise = np.random.default_rng(seed).integers(-20, 20, (HEIGHT, WIDTH, 1))
    picture = np.where(DISC[..., None], [200, 40, 40], [40, 150, 60]) + noise
    return encode(Pillow.fromarray(picture.clip(0, 255).astype(np.uint8)), "PNG")


def depth_npz() -> bytes:
    """The disc bulges towards the camera from a wall three metres away."""
    bulge = np.sqrt(np.clip(1 - ((COLUMNS - 90) ** 2 + (ROWS - 60) ** 2) / 35**2, 0, 1))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, depth=np.where(DISC, 2.5 - 0.4 * bulge, 3.0).astype(np.float32))
    return buffer.getvalue()


def disc_mask_png() -> bytes:
    return encode(Pillow.fromarray(DISC.astype(np.uint8) * 255), "PNG")


def photographed_disc(project: Project, *, seed: int = 0) -> Image:
    """The photograph with its depth file, ingested; a worker still has to read the depth."""
    image, _ = images.ingest_image(
        project_id=project.pk,
        data=photograph_with_a_disc(seed=seed),
        name=f"disc {seed}",
        point_map=PointMapUpload(data=depth_npz(), filename="depth.npz", form=dict(CAMERA)),
        user_id=None,
    )
    return image


def confirmed_disc(image: Image) -> TargetObject:
    """The disc as a confirmed target."""
    target = images.propose_target(image_id=image.pk, mask_png=disc_mask_png(), label="disc")
    if target.status == TargetStatus.PROPOSED:
        transition(target, TargetStatus.CONFIRMED, by=TESTER)
    return target
