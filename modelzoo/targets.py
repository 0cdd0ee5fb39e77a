"""One request made ready for the models: its camera, its views, and by name what was missing or not relied on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzoo.camera import intrinsics_from_points, typical_intrinsics
from modelzoo.conditioning import TYPICAL_FOCAL, Condition
from modelzoo.contracts import CandidateRequest, Intrinsics, Unit
from modelzoo.encoders.preparation import decoded_layout, prepare
from modelzoo.presets import ModelPreset
from modelzoo.refinement import Layout, RefinedLayout, refine_layout

NO_POINTS = ("point_map_missing", "point_map_unknown_inside_mask")
PLACED_ONLY = "approximate_point_map_only_placed_it"
MIN_MASKED_POINTS = 8


@dataclass(frozen=True, kw_only=True)
class Target:
    """A request, the camera its point map implies, and its views with the normaliser that decodes layouts."""

    request: CandidateRequest
    preset: ModelPreset
    intrinsics: Intrinsics
    notes: tuple[str, ...]
    condition: Condition

    @property
    def unit(self) -> Unit:
        """Without points inside the mask a pose is metric in no sense."""
        return "pointmap" if set(self.notes) & set(NO_POINTS) else self.request.unit

    @property
    def shaping_points(self) -> NDArray[np.float32] | None:
        """The points that the models may see. A guessed map misleads them more than none does (docs/log.md)."""
        return None if self.request.approximate else self.request.points

    def refined(self, layout: NDArray[np.floating], surface: NDArray[np.float64]) -> RefinedLayout:
        """A raw layout (13) decoded to the camera frame and held against mask and points; ``surface`` is (N, 3)."""
        rotation, translation, scale = decoded_layout(layout, self.condition.normaliser, preset=self.preset)
        if self.condition.box[3] == 0.0:
            # The layout is that of a flat cut-out under a typical lens; under another it looks the same from elsewhere.
            typical = TYPICAL_FOCAL * max(self.request.mask.shape)
            translation = translation * np.array([1.0, 1.0, self.intrinsics.fx / typical])
        return refine_layout(
            Layout(rotation=rotation, translation=translation, scale=scale),
            surface,
            mask=self.request.mask,
            points=self.request.points,
            intrinsics=self.intrinsics,
            points_trusted=not self.request.approximate,
        )


def target_of(request: CandidateRequest, preset: ModelPreset) -> Target:
    """Prepare the request as the preset's models were trained; ValueError where that preset needs a larger mask."""
    intrinsics, notes = camera_of(request)
    shaping = None if request.approximate else request.points
    return Target(
        request=request,
        preset=preset,
        intrinsics=intrinsics,
        notes=notes,
        condition=prepare(request.image, request.mask, shaping, preset=preset),
    )


def camera_of(request: CandidateRequest) -> tuple[Intrinsics, tuple[str, ...]]:
    """The camera that the point map implies, or a typical one, and by name what was missing or not relied on."""
    height, width = request.mask.shape
    typical = typical_intrinsics(height=height, width=width, focal_factor=TYPICAL_FOCAL)
    if request.points is None:
        return typical, NO_POINTS[:1]
    if np.isfinite(request.points[request.mask]).all(axis=-1).sum() < MIN_MASKED_POINTS:
        return typical, NO_POINTS[1:]
    notes = (PLACED_ONLY,) if request.approximate else ()
    found = intrinsics_from_points(request.points)
    return (typical, ("camera_guessed", *notes)) if found is None else (found, notes)
