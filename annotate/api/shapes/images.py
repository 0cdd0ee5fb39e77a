"""The JSON of photographs and of handing one in."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.shapes.fields import FormFile
from engine.states import ImageStatus, PointMapStatus


class PointMap(serializers.Serializer[Any]):
    """What is known of a photograph's depth, and who says so."""

    status = serializers.ChoiceField(choices=PointMapStatus.choices)
    approximate = serializers.BooleanField()
    metric = serializers.BooleanField()
    source = serializers.CharField()
    detail = serializers.CharField()


class Image(serializers.Serializer[Any]):
    """A photograph of a project."""

    id = serializers.IntegerField()
    uuid = serializers.UUIDField()
    name = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    status = serializers.ChoiceField(choices=ImageStatus.choices)
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    attribution = serializers.CharField()
    licence = serializers.CharField()
    point_map = PointMap(allow_null=True)
    num_targets = serializers.IntegerField()


class ImagePage(serializers.Serializer[Any]):
    """Newest first; ``next`` is the ``before`` of the page after this one."""

    results = Image(many=True)
    next = serializers.IntegerField(allow_null=True)


class UploadRequest(serializers.Serializer[Any]):
    """A form. With a point map come the numbers that say how to read it: see the guide for operators."""

    file = FormFile(help_text="JPEG, PNG or WebP.")
    attribution = serializers.CharField(max_length=300, required=False, allow_blank=True)
    licence = serializers.CharField(max_length=80, required=False, allow_blank=True)
    point_map = FormFile(
        required=False,
        help_text="This photograph's depth: NPZ, NPY, PFM, PLY, PCD, LAS, a 16-bit PNG, or KITTI's BIN.",
    )
    depth_scale = serializers.FloatField(required=False, min_value=1e-9, max_value=1e9)
    fx = serializers.FloatField(required=False, min_value=1e-3, max_value=1e7)
    fy = serializers.FloatField(required=False, min_value=1e-3, max_value=1e7)
    cx = serializers.FloatField(required=False, min_value=-1e7, max_value=1e7)
    cy = serializers.FloatField(required=False, min_value=-1e7, max_value=1e7)
    baseline = serializers.FloatField(
        required=False, min_value=1e-9, max_value=1e6, help_text="Metres; the map then holds disparities."
    )
    doffs = serializers.FloatField(required=False, min_value=-1e7, max_value=1e7)
    fill_px = serializers.FloatField(
        required=False, min_value=0.1, max_value=64, help_text="How far a cloud's point reaches."
    )
    calibration = serializers.CharField(
        max_length=20_000, required=False, help_text="The text of KITTI's calibration file."
    )
    T_camera_cloud = serializers.CharField(
        max_length=1000, required=False, help_text="12 or 16 numbers, row by row: a cloud into the camera."
    )
    metric = serializers.BooleanField(
        required=False, default=None, allow_null=True, help_text="false: the unit is not the metre."
    )

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields))
        if unknown:
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name: [f"Unknown field; known are: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)
