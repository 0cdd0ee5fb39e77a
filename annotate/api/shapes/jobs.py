"""The JSON of refinements and of jobs."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body, FiniteFloat, JsonObject, PngField
from annotate.api.shapes.claims import LeaseRequest
from annotate.api.shapes.fields import FARTHEST, exactly
from annotate.api.shapes.scene import PoseJson
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


class SnapRequest(LeaseRequest):
    """The pose to snap to the scene's points: T_camera_object, in the unit of the points."""

    rotation_wxyz = exactly(4, "A unit quaternion, w first.")
    translation = exactly(3, "In the unit of the scene's points.")
    scale = FiniteFloat(min_value=1e-9, max_value=FARTHEST)
    with_scale = serializers.BooleanField(default=False, help_text="The size may change too.")


class PoseMeasures(serializers.Serializer[Any]):
    """How well a posed shape meets the mask and the points."""

    mask_iou = serializers.FloatField()
    depth_residual = serializers.FloatField(
        allow_null=True, help_text="Median distance along the line of sight."
    )
    fitness = serializers.FloatField(help_text="Share of the object's points that lie on the shape.")


class PoseSnap(serializers.Serializer[Any]):
    """What snapping found; when nothing is better than the pose sent, ``found`` is false and ``pose`` is that one."""

    pose = PoseJson()
    found = serializers.BooleanField()
    num_points = serializers.IntegerField()
    before = PoseMeasures()
    after = PoseMeasures()


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
    snap = PoseSnap(allow_null=True, help_text="The result of a job of the kind snap_pose.")


class JobRow(serializers.Serializer[Any]):
    """A job of the outbox, for who drives the loop. ``attempts`` at their limit and FAILED: poison."""

    id = serializers.UUIDField(source="uuid")
    kind = serializers.CharField()
    queue = serializers.CharField()
    key = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    attempts = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class QueueFigures(serializers.Serializer[Any]):
    """One queue: what waits, runs, is tried again, and failed; ``oldest`` of those that nobody has taken."""

    queue = serializers.CharField()
    waiting = serializers.IntegerField()
    running = serializers.IntegerField()
    retrying = serializers.IntegerField()
    failed = serializers.IntegerField()
    poison = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True)


class JobList(serializers.Serializer[Any]):
    """Newest first, and the queues over all jobs of the project."""

    queues = QueueFigures(many=True)
    results = JobRow(many=True)
