"""The JSON of people and projects."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.shapes.fields import Literal
from engine.models import Project as ProjectRow
from engine.states import Role


class Person(serializers.Serializer[Any]):
    """Somebody with an account."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    name = serializers.CharField()


class ProjectMembership(serializers.Serializer[Any]):
    """A project and one's roles in it."""

    id = serializers.IntegerField()
    slug = serializers.CharField()
    name = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices))


class Me(serializers.Serializer[Any]):
    """The person of the session."""

    user = Person()
    projects = ProjectMembership(many=True)


class QueueDepth(serializers.Serializer[Any]):
    """Pieces of work of a stage that wait, and that somebody holds."""

    open = serializers.IntegerField()
    leased = serializers.IntegerField()


class Queues(serializers.Serializer[Any]):
    """What waits in each stage."""

    object = QueueDepth()
    pick = QueueDepth()
    pose = QueueDepth()


class TaxonomyEntry(serializers.Serializer[Any]):
    """A name that an object may bear."""

    key = serializers.CharField()
    label = serializers.CharField()


class Project(serializers.Serializer[Any]):
    """One project at a glance."""

    id = serializers.IntegerField()
    slug = serializers.CharField()
    name = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices))
    num_candidates = serializers.IntegerField()
    stage2_mode = Literal(*ProjectRow.Stage2Mode.values)
    lease_seconds = serializers.IntegerField()
    paused = serializers.BooleanField()
    alpha = serializers.FloatField()
    taxonomy = TaxonomyEntry(many=True)
    queues = Queues()
    artist_cases_open = serializers.IntegerField()
    round_number = serializers.IntegerField(allow_null=True)
    num_images = serializers.IntegerField()
    arena_matches = serializers.IntegerField(
        help_text="Blind pairs that wait for this person; 100 may be more."
    )
