"""The JSON of refinements and of jobs."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body, FiniteFloat, JsonObject, PngField
from annotate.api.shapes.claims import LeaseRequest
from annotate.api.shapes.fields import exactly
from engine.services.stage1 import MAX_POINTS
from engine.states import JobStatus


class PromptPoint(Body):
    """A point in pixels of the photograph: on the object, or surely not."""

    x = FiniteFloat(min_value=0)
    y = FiniteFloat(min_value=0)
    is_object = serializers.BooleanField()


class RefineRequest(LeaseRequest):
    """Hints for the assisted mask; a box, or a mask or strokes at any size with the photograph's aspect."""

    box = exactly(4, "x0, y0, x1, y1 in pixels of the photograph.", allow_null=True, default=None)
    points = PromptPoint(many=True, default=list, max_length=MAX_POINTS)  # type: ignore[call-arg]  # many=True makes a list
    mask_png = PngField(allow_null=True, default=None)
    foreground_png = PngField(allow_null=True, default=None)
    background_png = PngField(allow_null=True, default=None)


class JobStarted(serializers.Serializer[Any]):
    """Ask /jobs/{job}, or wait for job.changed."""

    job = serializers.UUIDField(source="uuid")


class Job(serializers.Serializer[Any]):
    """Work of a worker. A finished refinement's result is ``{"mask_png": base64, "by": "grabcut" or "segmenter"}``."""

    id = serializers.UUIDField(source="uuid")
    kind = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    error = serializers.CharField(allow_null=True)
    result = JsonObject(allow_null=True)
