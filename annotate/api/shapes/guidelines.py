"""The JSON of guidelines, their examples and the entry quiz."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.shapes.fields import Literal
from engine.models import GuidelineExample
from engine.states import Stage


class GuidelineHeading(serializers.Serializer[Any]):
    """A line of the table of contents; ``id`` is the heading's in the HTML."""

    id = serializers.CharField()
    text = serializers.CharField()
    level = serializers.IntegerField()


class GuidelineVersion(serializers.Serializer[Any]):
    """A published version."""

    id = serializers.IntegerField()
    number = serializers.IntegerField()
    summary = serializers.CharField(help_text="What changed, in a sentence.")
    published_at = serializers.DateTimeField()


class GuidelineChanges(serializers.Serializer[Any]):
    """What is different from the version one read last; new passages have the class is-new in the HTML."""

    since = serializers.IntegerField(help_text="The number of the version read last.")
    removed = serializers.ListField(
        child=serializers.CharField(), help_text="What it said and this one does not."
    )


class GuidelineExampleRef(serializers.Serializer[Any]):
    """A shape to look at; one with an aspect and a value shows what that rating means."""

    id = serializers.IntegerField()
    verdict = Literal(*GuidelineExample.Verdict.values)
    caption = serializers.CharField()
    mesh_url = serializers.CharField()
    preview_url = serializers.CharField()
    aspect = Literal("", *GuidelineExample.Aspect.values)
    value = serializers.IntegerField(allow_null=True)


class QuizState(serializers.Serializer[Any]):
    """The entry quiz of the stage as one stands to it."""

    num_questions = serializers.IntegerField()
    num_needed = serializers.IntegerField()
    is_passed = serializers.BooleanField()
    is_open = serializers.BooleanField(help_text="One has begun and not finished it.")
    num_attempts = serializers.IntegerField()
    last_num_right = serializers.IntegerField(allow_null=True)
    may_begin_at = serializers.DateTimeField(
        allow_null=True, help_text="The end of the pause after a failure."
    )


class StageGuide(serializers.Serializer[Any]):
    """One stage's guidelines."""

    stage = serializers.ChoiceField(choices=Stage.choices)
    version = GuidelineVersion(allow_null=True)
    html = serializers.CharField(help_text="Sanitised; empty without a version.")
    contents = GuidelineHeading(many=True)
    is_acknowledged = serializers.BooleanField()
    changes = GuidelineChanges(allow_null=True)
    examples = GuidelineExampleRef(many=True)
    anchors = GuidelineExampleRef(many=True)
    quiz = QuizState(allow_null=True)


class Guidelines(serializers.Serializer[Any]):
    """All stages' guidelines."""

    stages = StageGuide(many=True)


class Acknowledged(serializers.Serializer[Any]):
    """Which version was read, and when."""

    version = serializers.IntegerField(source="version_id")
    at = serializers.DateTimeField()
