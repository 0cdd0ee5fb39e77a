"""Photographs, their point maps, and the objects picked out in them."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.models.project import Project, TaxonomyEntry
from engine.states import ImageStatus, PointMapStatus, TargetStatus


class Image(models.Model):
    """One photograph (I), re-encoded upright; ``key`` and ``thumbnail_key`` name its blobs."""

    EVENT = "image"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="images")
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, help_text="Of the file as it was handed in.")
    key = models.CharField(max_length=200)
    thumbnail_key = models.CharField(max_length=200)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    status = models.CharField(max_length=12, choices=ImageStatus.choices, default=ImageStatus.PENDING)
    detail = models.TextField(blank=True, help_text="Why it was refused.")
    attribution = models.CharField(max_length=300, blank=True)
    licence = models.CharField(max_length=80, blank=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            UniqueConstraint(fields=["project", "sha256"], name="image_once_per_project"),
            CheckConstraint(condition=Q(width__gt=0, height__gt=0), name="image_has_pixels"),
        ]

    def __str__(self) -> str:
        return self.name


class PointMap(models.Model):
    """The camera-frame points of a photograph; ``key`` is an .npz (points, intrinsics), ``cloud_key`` a .c8pc."""

    EVENT = "point_map"

    project = models.ForeignKey(Project, models.CASCADE)
    image = models.OneToOneField(Image, models.CASCADE, related_name="point_map")
    status = models.CharField(max_length=12, choices=PointMapStatus.choices, default=PointMapStatus.PENDING)
    source = models.CharField(
        max_length=60, blank=True, help_text="What made it: a sensor's file or an estimator."
    )
    approximate = models.BooleanField(default=True)
    metric = models.BooleanField(default=False)
    upload_key = models.CharField(
        max_length=200, blank=True, help_text="The file handed in with the photograph."
    )
    upload_form = models.JSONField(default=dict, blank=True, help_text="How to read that file.")
    key = models.CharField(max_length=200, blank=True)
    cloud_key = models.CharField(max_length=200, blank=True)
    num_points = models.PositiveIntegerField(default=0)
    intrinsics = models.JSONField(null=True, blank=True, help_text="fx, fy, cx, cy, width, height in pixels.")
    detail = models.TextField(blank=True)

    class Meta:
        constraints = [
            CheckConstraint(
                condition=~Q(status=PointMapStatus.READY)
                | (Q(intrinsics__isnull=False) & ~Q(key="") & ~Q(source="")),
                name="point_map_ready_is_complete",
            ),
        ]

    def __str__(self) -> str:
        return f"point map of {self.image_id}"


class TargetObject(models.Model):
    """One object of one photograph, picked out by a mask (I, M)."""

    EVENT = "target"

    project = models.ForeignKey(Project, models.CASCADE)
    image = models.ForeignKey(Image, models.CASCADE, related_name="targets")
    mask_key = models.CharField(max_length=200)
    mask_sha256 = models.CharField(max_length=64)
    bbox = models.JSONField(help_text="x, y, width, height in pixels.")
    area_px = models.PositiveIntegerField()
    label = models.CharField(max_length=120, blank=True)
    taxonomy_entry = models.ForeignKey(TaxonomyEntry, models.SET_NULL, null=True, blank=True)
    flags = models.JSONField(default=list, blank=True)
    source = models.CharField(
        max_length=60, blank=True, help_text="What proposed this mask; empty when a person drew it."
    )
    status = models.CharField(max_length=12, choices=TargetStatus.choices, default=TargetStatus.PROPOSED)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            UniqueConstraint(fields=["image", "mask_sha256"], name="target_once_per_mask"),
            CheckConstraint(condition=Q(area_px__gt=0), name="target_has_pixels"),
        ]

    def __str__(self) -> str:
        return f"{self.label or 'object'} in {self.image_id}"
