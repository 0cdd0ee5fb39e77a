"""The JSON of a failure."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Problem(serializers.Serializer[Any]):
    """RFC 9457. ``code`` is stable and for programs, ``detail`` is for the person."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)
