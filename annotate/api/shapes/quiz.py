"""The JSON of the mark that an answer to a quiz question gets."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.api.reading import JsonObject


@extend_schema_field(
    {"type": "object", "additionalProperties": {"oneOf": [{"type": "number"}, {"type": "string"}]}}
)
class Figures(JsonObject):
    """What a mark was given for, by name."""


class QuizReference(serializers.Serializer[Any]):
    """The known answer, as far as the stage can show it."""

    mask_url = serializers.CharField(required=False)
    best = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text="Places on this person's screen, from 1."
    )
    avoid = serializers.ListField(child=serializers.IntegerField(), required=False)


class QuizMark(serializers.Serializer[Any]):
    """Whether the answer was right, why, and how the quiz stands."""

    is_right = serializers.BooleanField()
    why = serializers.CharField()
    figures = Figures()
    reference = QuizReference()
    number = serializers.IntegerField()
    num_questions = serializers.IntegerField()
    num_needed = serializers.IntegerField()
    num_right = serializers.IntegerField()
    is_over = serializers.BooleanField()
    is_passed = serializers.BooleanField()
