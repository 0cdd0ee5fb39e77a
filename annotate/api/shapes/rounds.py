"""The JSON of rounds and of what they give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body, Count, FiniteFloat, JsonObject
from engine.models.mix import Reward
from engine.states import RoundStatus


class OpenRoundRequest(Body):
    """The bar of the round, how many candidates a target gets, from which sources, and the pre-filter of our own."""

    alpha = FiniteFloat(min_value=0, max_value=1)
    num_candidates = Count(min_value=2, max_value=64, default=8)
    source_mix = JsonObject(
        default=dict,
        help_text='Source > number, adding up, as in {"candid8": 6, "retrieval": 2}. Default: our own model alone.',
    )
    num_draws = Count(
        min_value=2,
        max_value=64,
        allow_null=True,
        default=None,
        help_text="Shapes that our own model draws, of which the reward keeps the best. Default: no pre-filter.",
    )
    reward = serializers.ChoiceField(choices=Reward.choices, allow_blank=True, default="")


class Round(serializers.Serializer[Any]):
    """One turn of the loop; ``generation`` is of what served when it began."""

    id = serializers.IntegerField()
    number = serializers.IntegerField()
    alpha = serializers.FloatField()
    num_candidates = serializers.IntegerField()
    source_mix = JsonObject(help_text="Source > number; empty: our own model alone.")
    num_draws = serializers.IntegerField(allow_null=True)
    reward = serializers.CharField()
    generation = serializers.IntegerField(source="deployment.generation", default=None, allow_null=True)
    status = serializers.ChoiceField(choices=RoundStatus.choices)
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class RoundList(serializers.Serializer[Any]):
    """Newest first."""

    results = Round(many=True)


class RoundYield(serializers.Serializer[Any]):
    """What became of the picks; passing winners reach alpha."""

    picks = serializers.IntegerField()
    escalated = serializers.IntegerField()
    passing = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)


class RatingCount(serializers.Serializer[Any]):
    """How many winners got a rating."""

    rating = serializers.FloatField()
    num_picks = serializers.IntegerField()


class AnnotatorYield(serializers.Serializer[Any]):
    """One person's picks in the round."""

    username = serializers.CharField()
    picks = serializers.IntegerField()
    escalated = serializers.IntegerField()
    mean_rating = serializers.FloatField(allow_null=True)
    mean_seconds = serializers.FloatField(allow_null=True)


class RoundFigures(serializers.Serializer[Any]):
    """A round in numbers."""

    objects = serializers.IntegerField()
    discarded = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    alignments = serializers.IntegerField()
    picks = RoundYield()
    ratings = RatingCount(many=True)
    annotators = AnnotatorYield(many=True)


class WorkLeft(serializers.Serializer[Any]):
    """What still has to happen in the project before everything handed in is judged."""

    tasks = serializers.IntegerField(help_text="That wait for people, or that people hold.")
    cases = serializers.IntegerField(help_text="Of artists, not accepted yet.")
    jobs = serializers.IntegerField(help_text="Of workers; training runs are not counted.")


class RoundDetail(serializers.Serializer[Any]):
    """A round, what it has given, and what is under way."""

    round = Round()
    figures = RoundFigures()
    work_left = WorkLeft()
