"""The JSON of what people judged, read into the engine's own types."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from annotate.api.reading import Body, Count, FiniteFloat, PngField, RowIdField, is_storable
from annotate.api.shapes.claims import LeaseRequest
from annotate.api.shapes.fields import ANY_ROW_ID, FARTHEST, exactly
from annotate.api.shapes.quiz import QuizMark
from engine.models import Comparison, Project
from engine.services.attention import LOOKS, Looked
from engine.services.attention import Attention as Looking
from engine.services.escalations import REASONS
from engine.services.stage1 import ObjectChoice
from engine.services.stage2 import PairJudged
from engine.services.stage2 import PickResult as Pick
from engine.services.stage3 import PoseResult as Placement
from engine.states import AssignmentStatus

MAX_TARGETS = 64
MAX_COMPARISONS = 512
MAX_NAMES = 200


class ObjectTarget(Body):
    """One object that was chosen, with its mask at the photograph's size."""

    mask_png = PngField()
    label = serializers.CharField(max_length=120, allow_blank=True)
    taxonomy_key = serializers.CharField(max_length=50, allow_null=True, default=None)
    flags = serializers.ListField(child=serializers.CharField(max_length=40), max_length=20, default=list)
    proposal_id = RowIdField(allow_null=True, default=None)
    warnings = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=20,
        default=list,
        help_text="Checks of the mask that stood, by name: parts, border, small, large, overlap.",
    )


class Discard(Body):
    """Why there is nothing to choose in the photograph."""

    reason = serializers.CharField(max_length=200)


class ObjectResult(Body):
    """Stage 1: the targets, or why there are none."""

    targets = ObjectTarget(many=True, required=False, allow_empty=False, max_length=MAX_TARGETS)  # type: ignore[call-arg]  # many=True makes a list
    discard = Discard(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give either targets or discard.")
        return attrs


class PairOutcome(Body):
    """One pair that was shown side by side, and which one was better."""

    left = RowIdField()
    right = RowIdField()
    outcome = serializers.ChoiceField(choices=Comparison.Outcome.values)
    milliseconds = Count()


class IdCounts(serializers.DictField):
    """Whole numbers by candidate."""

    child = Count()

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        read = super().to_internal_value(data)
        if len(read) > MAX_NAMES or not all(ANY_ROW_ID.fullmatch(name) for name in read):
            raise serializers.ValidationError("The keys must be ids of candidates.")
        return {int(name): number for name, number in read.items()}


class LookCounts(serializers.DictField):
    """Milliseconds by look."""

    child = Count()

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        read: dict[str, int] = super().to_internal_value(data)
        if set(read) - set(LOOKS):
            raise serializers.ValidationError(f"The keys must be of {', '.join(LOOKS)}.")
        return read


class Attention(Body):
    """How the person looked at the candidates: milliseconds, and counts of gestures."""

    dwell = IdCounts(default=dict, help_text="Milliseconds each was large or under the pointer.")
    orbits = IdCounts(default=dict, help_text="Turns of the camera that began on it.")
    orbits_of_all = Count(default=0, help_text="Turns of the camera by key, over the whole grid.")
    looks = LookCounts(default=dict, help_text="Milliseconds each look was on.")
    photo_camera = Count(default=0, help_text="Milliseconds they were seen from the photograph's camera.")
    flickers = Count(default=0, help_text="Times the photograph was laid over them.")


class PickResult(Body):
    """Stage 2: the winner with its ratings, and the pairs that were really shown side by side."""

    winner = RowIdField()
    mode = serializers.ChoiceField(choices=Project.Stage2Mode.values)
    shape_rating = Count(min_value=1, max_value=5)
    texture_rating = Count(min_value=1, max_value=5)
    comparisons = PairOutcome(many=True, default=list, max_length=MAX_COMPARISONS)  # type: ignore[call-arg]
    inspected = IdCounts(
        default=dict, help_text="Milliseconds each candidate was looked at large, by its id."
    )
    not_loaded = serializers.ListField(
        child=RowIdField(),
        default=list,
        max_length=MAX_NAMES,
        help_text="Candidates that could not be loaded and so were not shown.",
    )
    attention = Attention(allow_null=True, default=None)


class PoseResult(Body):
    """Stage 3: T_camera_object."""

    rotation_wxyz = exactly(4, "A unit quaternion, w first.")
    translation = exactly(3, "In the unit of the scene's points.")
    scale = FiniteFloat(min_value=1e-9, max_value=FARTHEST)
    mask_iou = FiniteFloat(min_value=0, max_value=1, allow_null=True)
    depth_residual = FiniteFloat(min_value=0, allow_null=True, default=None)
    actions = serializers.DictField(child=Count(), default=dict, help_text="How often each tool was used.")
    symmetry = Count(
        default=1,
        max_value=6,
        help_text="Turns about the upright axis after which the shape looks the same: 1 for none, 0 for any.",
    )

    def validate_rotation_wxyz(self, rotation: tuple[float, ...]) -> tuple[float, ...]:
        norm = sum(part * part for part in rotation) ** 0.5
        if abs(norm - 1) > 1e-3:
            raise serializers.ValidationError(f"Must be a unit quaternion; its norm is {norm:.4g}.")
        return tuple(part / norm for part in rotation)

    def validate_actions(self, actions: dict[str, int]) -> dict[str, int]:
        if len(actions) > MAX_NAMES or any(len(name) > 60 for name in actions) or not is_storable(actions):
            raise serializers.ValidationError(
                f"At most {MAX_NAMES} names of at most 60 characters, none of them NUL."
            )
        return actions


#: Which serializer reads a result, by the names that only this kind of result has.
KINDS: tuple[tuple[frozenset[str], type[Body]], ...] = (
    (frozenset({"targets", "discard"}), ObjectResult),
    (frozenset({"winner", "shape_rating", "texture_rating"}), PickResult),
    (frozenset({"rotation_wxyz", "translation", "scale"}), PoseResult),
)


class ObjectChoices(tuple[ObjectChoice, ...]):
    """The targets of a stage 1 result, in order."""


class Discarded(str):
    """The reason of a stage 1 result without targets."""


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="Result",
        serializers=[ObjectResult, PickResult, PoseResult],
        resource_type_field_name=None,
    )
)
class ResultField(serializers.Field[Any, Any, Any, Any]):
    """Reads whichever of the three results it is, by its own names, into the engine's type."""

    default_error_messages = {
        "unknown": "Must be an object with targets or discard (stage object), winner, shape_rating and texture_rating "
        "(stage pick), or rotation_wxyz, translation and scale (stage pose)."
    }

    def to_internal_value(self, data: Any) -> ObjectChoices | Discarded | Pick | Placement:
        names = set(data) if isinstance(data, dict) else set()
        serializer = next((kind for own, kind in KINDS if names & own), None)
        if serializer is None:
            self.fail("unknown")
        bound = serializer(data=data)
        bound.is_valid(raise_exception=True)
        return _engine_type(serializer, bound.validated_data)


def _engine_type(
    serializer: type[Body], read: dict[str, Any]
) -> ObjectChoices | Discarded | Pick | Placement:
    if serializer is PickResult:
        looking = read["attention"]
        return Pick(
            **{
                **read,
                "comparisons": tuple(PairJudged(**pair) for pair in read["comparisons"]),
                "attention": Looking(**looking) if looking else None,
            }
        )
    if serializer is PoseResult:
        return Placement(**read)
    if "discard" in read:
        return Discarded(read["discard"]["reason"])
    return ObjectChoices(
        ObjectChoice(**{**each, "flags": tuple(each["flags"]), "warnings": tuple(each["warnings"])})
        for each in read["targets"]
    )


class SubmitRequest(LeaseRequest):
    """The result of a live lease."""

    seconds = FiniteFloat(min_value=0, max_value=86_400, help_text="How long the person worked on it.")
    result = ResultField()


class EscalateRequest(LeaseRequest):
    """Why none is good enough (stage pick) or it cannot be placed (pose), in a word and in a sentence."""

    reason = serializers.ChoiceField(choices=REASONS)
    note = serializers.CharField(max_length=2000, allow_blank=True, default="")
    seconds = FiniteFloat(
        min_value=0,
        max_value=86_400,
        allow_null=True,
        default=None,
        help_text="How long the person worked on it.",
    )
    inspected = IdCounts(default=dict, help_text="As in the result of a pick; of stage pick alone.")
    attention = Attention(allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {name: attrs.pop(name) for name in ("seconds", "inspected", "attention")}
        looking = given["attention"]
        return attrs | {"looked": Looked(**{**given, "attention": Looking(**looking) if looking else None})}


class Submitted(serializers.Serializer[Any]):
    """The answer to a submit; a repeat with the same Idempotency-Key gets the same body."""

    assignment = serializers.UUIDField()
    status = serializers.ChoiceField(choices=AssignmentStatus.choices)
    quiz = QuizMark(required=False, help_text="The mark, when it was a question of the entry quiz.")
