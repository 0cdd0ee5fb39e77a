"""How a mesh and a masked photograph are shown to the image encoder: alone on neutral grey, in the same frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzoo.conditioning import crop_square
from modelzoo.contracts import Intrinsics
from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.silhouette import rasterise

GREY = 128
FRAME = 1.15  # side of the picture over the longer side of what it shows
DISTANCE = 2.4  # of the camera from the centre of the unit cube
SUPERSAMPLING = 2
AMBIENT = 0.55
LIGHT_CAMERA = np.array([-0.35, -0.65, -0.68])  # towards the light: above, left and behind the camera

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ViewRings:
    """Cameras around a mesh: ``azimuths`` evenly spaced ones, the first at its front (-Y), at each elevation."""

    azimuths: int = 8
    elevations_deg: tuple[float, ...] = (10.0, 35.0)

    def __post_init__(self) -> None:
        if self.azimuths < 1 or not self.elevations_deg or max(map(abs, self.elevations_deg)) >= 90:
            raise ValueError("views need at least one azimuth and elevations between -90 and 90 degrees")

    def rotations(self) -> Floats:
        """R_camera_object (V, 3, 3) of every view, ring by ring."""
        turns = np.arange(self.azimuths) * 2 * np.pi / self.azimuths
        return np.stack([_looking(turn, np.deg2rad(up)) for up in self.elevations_deg for turn in turns])


def masked_crop(image: NDArray[np.uint8], mask: NDArray[np.bool_], *, side: int) -> NDArray[np.uint8]:
    """(side, side, 3): the masked object of a photograph, everything else grey. Raises ValueError for bad shapes."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be H x W x 3 uint8, not {image.shape} {image.dtype}")
    if mask.shape != image.shape[:2] or mask.dtype != np.bool_ or not mask.any():
        raise ValueError(
            f"mask must be {image.shape[:2]} bool and mark a pixel, not {mask.shape} {mask.dtype}"
        )
    window = crop_square(mask, factor=FRAME)
    left, top, size = int(np.floor(window.left)), int(np.floor(window.top)), max(2, round(window.side))
    alone = Image.fromarray(np.where(mask[..., None], image, np.uint8(GREY)))
    square = Image.new("RGB", (size, size), (GREY,) * 3)
    square.paste(alone, (-left, -top))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))


def rendered_views(mesh: ColouredMesh, rotations: Floats, *, side: int) -> NDArray[np.uint8]:
    """(V, side, side, 3): the lit mesh seen with each R_camera_object (V, 3, 3)."""
    assert rotations.ndim == 3 and rotations.shape[1:] == (3, 3), rotations.shape
    return np.stack([_rendered(mesh, rotation, side) for rotation in rotations])


def _rendered(mesh: ColouredMesh, rotation: Floats, side: int) -> NDArray[np.uint8]:
    placed = mesh.vertices.astype(np.float64) @ rotation.T + np.array([0.0, 0.0, DISTANCE])
    fine = side * SUPERSAMPLING
    drawn = rasterise(
        placed, mesh.faces, _framed(placed, fine), colours=mesh.colours * _shade(mesh, rotation, placed)
    )
    shown = np.where(drawn.mask[..., None], drawn.colour * 255, GREY)
    picture = Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def _framed(placed: Floats, side: int) -> Intrinsics:
    """The camera in which the points' box is centred and fills all but the margin."""
    screen = placed[:, :2] / placed[:, 2:]
    low, high = screen.min(axis=0), screen.max(axis=0)
    focal = side / (FRAME * max(float((high - low).max()), 1e-9))
    cx, cy = side / 2 - focal * (low + high) / 2
    return Intrinsics(fx=focal, fy=focal, cx=float(cx), cy=float(cy), width=side, height=side)


def _shade(mesh: ColouredMesh, rotation: Floats, placed: Floats) -> Floats:
    """Brightness (V, 1) under ambient light and one lamp; normals that point away are taken for inside out."""
    normals = mesh.normals.astype(np.float64) @ rotation.T
    normals = np.where((normals * placed).sum(axis=1, keepdims=True) > 0, -normals, normals)
    lamp = LIGHT_CAMERA / np.linalg.norm(LIGHT_CAMERA)
    return np.asarray(AMBIENT + (1 - AMBIENT) * np.clip(normals @ lamp, 0, 1)[:, None])


def _looking(azimuth: float, elevation: float) -> Floats:
    """R_camera_object of a camera at this azimuth (about Z, from -Y) and elevation, upright, facing the centre."""
    c, s = np.cos(azimuth), np.sin(azimuth)
    right = np.array([c, s, 0.0])
    forward = np.array([-s * np.cos(elevation), c * np.cos(elevation), -np.sin(elevation)])
    return np.stack([right, np.cross(forward, right), forward])
