"""The JSON of a target's whole story."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import JsonObject
from annotate.api.shapes.scene import PoseJson


class CandidateTrace(serializers.Serializer[Any]):
    """A candidate with what made it; ``checkpoint_id`` is null for others than our own model."""

    id = serializers.IntegerField()
    index = serializers.IntegerField()
    batch_id = serializers.IntegerField(allow_null=True)
    arena_id = serializers.IntegerField(allow_null=True, help_text="Which asked for it.")
    source = serializers.CharField()
    checkpoint_id = serializers.IntegerField(allow_null=True)
    checkpoint_name = serializers.CharField()
    generation = serializers.IntegerField(allow_null=True)
    seed = serializers.IntegerField(allow_null=True)
    settings = JsonObject()
    fallbacks = serializers.ListField(child=serializers.CharField())
    mesh_url = serializers.CharField()
    preview_url = serializers.CharField()
    num_faces = serializers.IntegerField()


class PickTrace(serializers.Serializer[Any]):
    """A stage 2 judgement."""

    id = serializers.IntegerField()
    annotator = serializers.CharField()
    winner_id = serializers.IntegerField(allow_null=True)
    rating = serializers.FloatField(allow_null=True)
    shape_rating = serializers.IntegerField(allow_null=True)
    texture_rating = serializers.IntegerField(allow_null=True)
    mode = serializers.CharField()
    none_because = serializers.CharField()
    note = serializers.CharField()
    round = serializers.IntegerField(allow_null=True)
    alpha = serializers.FloatField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True)
    shown_order = serializers.ListField(
        child=serializers.IntegerField(), help_text="Candidates, in the order of this person's cells."
    )
    not_loaded = serializers.ListField(
        child=serializers.IntegerField(), help_text="Candidates that this person's browser could not show."
    )
    inspected = serializers.DictField(
        child=serializers.IntegerField(), help_text="Milliseconds each candidate was looked at large."
    )
    attention = JsonObject(help_text="How the person looked at the candidates; empty when that is not known.")
    at = serializers.DateTimeField()


class PoseTrace(serializers.Serializer[Any]):
    """A stage 3 judgement."""

    id = serializers.IntegerField()
    annotator = serializers.CharField()
    candidate_id = serializers.IntegerField()
    pose = PoseJson()
    approximate = serializers.BooleanField()
    mask_iou = serializers.FloatField(allow_null=True)
    at = serializers.DateTimeField()


class RunTrace(serializers.Serializer[Any]):
    """A run that learnt from a version, and the checkpoint it made."""

    id = serializers.IntegerField()
    objective = serializers.CharField()
    status = serializers.CharField()
    checkpoint_id = serializers.IntegerField(allow_null=True)
    checkpoint_name = serializers.CharField()


class VersionTrace(serializers.Serializer[Any]):
    """A frozen version that holds examples of the target."""

    id = serializers.IntegerField()
    number = serializers.IntegerField()
    alpha = serializers.FloatField()
    demonstrations = serializers.ListField(child=serializers.IntegerField(), help_text="Candidates.")
    num_pairs = serializers.IntegerField()
    runs = RunTrace(many=True)


class TargetLineage(serializers.Serializer[Any]):
    """Everything known of one target: where each example came from, and where it went."""

    id = serializers.IntegerField()
    label = serializers.CharField()
    flags = serializers.ListField(child=serializers.CharField())
    masked_by = serializers.ListField(child=serializers.CharField())
    mask_url = serializers.CharField()
    image_id = serializers.IntegerField()
    image_name = serializers.CharField()
    image_url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    attribution = serializers.CharField()
    licence = serializers.CharField()
    point_map_source = serializers.CharField()
    point_map_approximate = serializers.BooleanField(allow_null=True)
    candidates = CandidateTrace(many=True)
    picks = PickTrace(many=True)
    poses = PoseTrace(many=True)
    versions = VersionTrace(many=True)
