"""What every maker of masks is asked and answers, and which one this worker has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
#: x, y in pixels, and whether it lies on the object.
Point = tuple[float, float, bool]


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """What the person gave, all at the photograph's size H x W; ``box`` is x0, y0, x1, y1 in pixels."""

    box: tuple[float, float, float, float] | None = None
    points: tuple[Point, ...] = ()
    mask: Mask | None = None
    foreground: Mask | None = None
    background: Mask | None = None

    def __post_init__(self) -> None:
        has_point = any(is_object for _, _, is_object in self.points)
        if self.box is None and self.mask is None and self.foreground is None and not has_point:
            raise ValueError("a refinement needs a box, a mask, a point on the object or a foreground stroke")

    def with_points_drawn(self, *, height: int, width: int, radius: float) -> Guidance:
        """The same guidance with every point as a small stroke; where two kinds meet, the later one holds."""
        if not self.points:
            return self
        kinds = {
            True: _copy(self.foreground, height=height, width=width),
            False: _copy(self.background, height=height, width=width),
        }
        for x, y, is_object in self.points:
            centre = (min(width - 1, int(x)), min(height - 1, int(y)))
            for kind, drawing in kinds.items():
                cv2.circle(drawing, centre, max(1, round(radius)), int(kind == is_object), thickness=-1)
        return replace(
            self, points=(), foreground=kinds[True].astype(bool), background=kinds[False].astype(bool)
        )


@dataclass(frozen=True, kw_only=True)
class ProposedMask:
    """A mask at the photograph's size, and how sure its maker is, in [0, 1]."""

    mask: Mask
    score: float


class MaskProposer(Protocol):
    """Makes masks of an sRGB photograph (H, W, 3). ``key`` names the photograph, so that its features can be kept."""

    #: Who made a mask, as it is recorded.
    name: str

    def refine(self, image: NDArray[np.uint8], guidance: Guidance, *, key: str) -> Mask:
        """The object's mask (H, W); strokes are kept to the pixel."""

    def propose(self, image: NDArray[np.uint8], *, key: str) -> list[ProposedMask]:
        """Masks of what might be objects, the surest first; none where the maker cannot know."""


def keep_certain(mask: Mask, guidance: Guidance) -> Mask:
    """The mask with the person's strokes in it, to the pixel."""
    if guidance.foreground is not None:
        mask = mask | guidance.foreground
    if guidance.background is not None:
        mask = mask & ~guidance.background
    return mask


def _copy(drawing: Mask | None, *, height: int, width: int) -> NDArray[np.uint8]:
    return np.zeros((height, width), np.uint8) if drawing is None else drawing.astype(np.uint8)
