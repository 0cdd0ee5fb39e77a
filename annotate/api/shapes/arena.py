"""The JSON of arenas and their blind matches."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body, Count, FiniteFloat, RowIdField
from annotate.api.shapes.scene import PhotoRef, TargetRef
from annotate.converters import BIGGEST_ID
from engine.models import ArenaMatch as Row
from engine.services.arena import MAX_SECONDS
from engine.services.arena_targets import MOST_TARGETS
from engine.states import ArenaStatus, MatchStatus


class ArenaRequest(Body):
    """Who meets, how often each pair on each target, on which targets."""

    name = serializers.CharField(max_length=120)
    checkpoints = serializers.ListField(child=RowIdField(), min_length=2, max_length=20)
    votes = serializers.IntegerField(min_value=1, max_value=20, default=1)
    targets = serializers.ListField(
        child=RowIdField(),
        allow_null=True,
        default=None,
        max_length=10_000,
        help_text="Exactly these; num_targets is then not read.",
    )
    num_targets = serializers.IntegerField(
        min_value=1,
        max_value=MOST_TARGETS,
        allow_null=True,
        default=40,
        help_text="So many are drawn, and candidates that a checkpoint lacks on them are made. Null: every confirmed "
        "target of which each checkpoint has made a candidate, and nothing is made.",
    )
    seed = Count(
        allow_null=True,
        default=None,
        max_value=BIGGEST_ID,
        help_text="Of order, sides, which targets, and the candidates that are made.",
    )


class Arena(serializers.Serializer[Any]):
    """An arena."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=ArenaStatus.choices)
    seed = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class ArenaList(serializers.Serializer[Any]):
    """Newest first."""

    results = Arena(many=True)


class Range(serializers.Serializer[Any]):
    """A number with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class Contestant(serializers.Serializer[Any]):
    """A checkpoint's strength; Elo is only its scale, a fit of all votes at once."""

    checkpoint = serializers.IntegerField(source="checkpoint_id")
    name = serializers.CharField()
    elo = Range()
    best_rank = serializers.IntegerField(source="ranks.best")
    worst_rank = serializers.IntegerField(source="ranks.worst")
    won = serializers.IntegerField()
    lost = serializers.IntegerField()
    equal = serializers.IntegerField()


class MakingFailure(serializers.Serializer[Any]):
    """Candidates of one checkpoint that failed for one reason; pairs without it go on."""

    checkpoint = serializers.IntegerField(source="checkpoint_id")
    name = serializers.CharField()
    reason = serializers.CharField()
    num_candidates = serializers.IntegerField()


class ArenaMaking(serializers.Serializer[Any]):
    """How far the candidates are that the arena asked for; pairs come as they are made."""

    num_asked = serializers.IntegerField()
    num_made = serializers.IntegerField()
    num_failed = serializers.IntegerField()
    num_given_up = serializers.IntegerField(help_text="Not made any more: the arena was closed.")
    failures = MakingFailure(many=True)


class ArenaResult(serializers.Serializer[Any]):
    """How the checkpoints stand; no contestants before the first vote."""

    arena = Arena()
    num_matches = serializers.IntegerField()
    num_votes = serializers.IntegerField()
    contestants = Contestant(many=True)
    making = ArenaMaking()


class ArenaClaimRequest(Body):
    """Pairs that this person skipped and does not want again for now."""

    skipped = serializers.ListField(child=serializers.UUIDField(), default=list, max_length=500)


class ArenaShape(serializers.Serializer[Any]):
    """One of the two; nothing tells who made it."""

    mesh_url = serializers.CharField()
    preview_url = serializers.CharField()
    splat_url = serializers.CharField(help_text="Empty when there are no splats.")


class ArenaMatch(serializers.Serializer[Any]):
    """A blind pair to be judged."""

    match = serializers.UUIDField()
    claimed_until = serializers.DateTimeField()
    photo = PhotoRef()
    target = TargetRef()
    left = ArenaShape()
    right = ArenaShape()


class ArenaAnswer(Body):
    """Which is better, and how long the person looked."""

    outcome = serializers.ChoiceField(choices=Row.Outcome.choices)
    seconds = FiniteFloat(min_value=0, max_value=MAX_SECONDS)


class ArenaSkipped(serializers.Serializer[Any]):
    """A pair that went back to the others."""

    match = serializers.UUIDField(source="uuid")
    status = serializers.ChoiceField(choices=MatchStatus.choices)


class ArenaAnswered(serializers.Serializer[Any]):
    """What was recorded."""

    match = serializers.UUIDField(source="uuid")
    status = serializers.ChoiceField(choices=MatchStatus.choices)
    outcome = serializers.ChoiceField(choices=Row.Outcome.choices)
