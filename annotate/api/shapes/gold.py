"""The JSON of gold tasks: what may become gold, and the making of it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body, Count, FiniteFloat, JsonObject, RowIdField
from engine.services.gold import MAX_WHY
from engine.states import Stage


class GoldSource(serializers.Serializer[Any]):
    """A judgement that may become gold, and what it said: by stage a mask, a winner among candidates, a pose."""

    id = serializers.IntegerField()
    photo = serializers.CharField()
    label = serializers.CharField()
    by = serializers.CharField()
    answer = JsonObject(
        help_text="object: mask_url; pick: winner and candidates (id, mesh_url); pose: the pose."
    )


class GoldItem(serializers.Serializer[Any]):
    """A live gold task; answers in quizzes and among work are counted."""

    id = serializers.IntegerField()
    stage = serializers.ChoiceField(choices=Stage.choices)
    why = serializers.CharField()
    num_answers = serializers.IntegerField(default=0)
    num_right = serializers.IntegerField(default=0)


class GoldList(serializers.Serializer[Any]):
    """One stage's gold, and its newest judgements that are not gold yet."""

    items = GoldItem(many=True)
    sources = GoldSource(many=True)


class MakeGoldRequest(Body):
    """The judgement ``source`` of the stage becomes gold; each stage reads its own of the other fields."""

    source = RowIdField()
    why = serializers.CharField(max_length=MAX_WHY)
    also_best = serializers.ListField(child=RowIdField(), default=list, max_length=64)
    avoid = serializers.ListField(child=RowIdField(), default=list, max_length=64)
    iou_at_least = FiniteFloat(min_value=0.05, max_value=0.99, required=False)
    rotation_deg = FiniteFloat(min_value=1, max_value=180, required=False)
    translation_share = FiniteFloat(min_value=0.01, max_value=2, required=False)
    add_s_share = FiniteFloat(min_value=0.01, max_value=1, required=False)
    symmetry_order = Count(min_value=0, max_value=36, required=False)
