"""The JSON of photographs, targets, cameras and poses, as tasks and cases show them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.shapes.fields import Literal, numbers

UNITS = ("m", "pointmap")


class PhotoRef(serializers.Serializer[Any]):
    """A photograph: presigned addresses of the picture and its thumbnail, and its size in pixels."""

    id = serializers.IntegerField()
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    name = serializers.CharField()
    attribution = serializers.CharField()


class TargetRef(serializers.Serializer[Any]):
    """A target object; the mask is a 1-bit PNG of the photograph's size, white where the object is."""

    id = serializers.IntegerField()
    label = serializers.CharField()
    taxonomy_key = serializers.CharField(allow_null=True)
    mask_url = serializers.CharField()
    bbox = numbers(4, "x, y, width, height in pixels of the photograph.")
    flags = serializers.ListField(child=serializers.CharField())


class Intrinsics(serializers.Serializer[Any]):
    """A pinhole camera in pixels; pixel centres lie at +0.5."""

    fx = serializers.FloatField()
    fy = serializers.FloatField()
    cx = serializers.FloatField()
    cy = serializers.FloatField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class PoseJson(serializers.Serializer[Any]):
    """T_camera_object: x_camera = R (scale x_object) + translation; OpenCV camera, object Z-up in the unit cube."""

    rotation_wxyz = numbers(4, "A unit quaternion, w first.")
    translation = numbers(3, "In the unit.")
    scale = serializers.FloatField()
    unit = Literal(*UNITS)


class PointCloudRef(serializers.Serializer[Any]):
    """The scene's points as a .c8pc file in the OpenCV camera frame."""

    url = serializers.CharField()
    num_points = serializers.IntegerField()
    approximate = serializers.BooleanField()
    unit = Literal(*UNITS)
