"""The JSON of claims and of the three kinds of task."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from annotate.api.reading import Body, JsonObject
from annotate.api.shapes.fields import Literal
from annotate.api.shapes.quiz import QuizMark
from annotate.api.shapes.scene import Intrinsics, PhotoRef, PointCloudRef, PoseJson, TargetRef
from engine.models import Project
from engine.states import AssignmentStatus, Stage


class ClaimRequest(Body):
    """Which stage one wants work of."""

    stage = serializers.ChoiceField(choices=Stage.choices)
    prefetch = serializers.BooleanField(
        default=False, help_text="A second task, for the time after the present one."
    )
    again = serializers.UUIDField(
        default=None,
        allow_null=True,
        help_text="An assignment of one's own that was let go or lost: its task comes first if it can be had.",
    )
    quiz = serializers.BooleanField(
        default=False, help_text="Until the entry quiz is passed: its next question instead of quiz_needed."
    )


class MaskProposal(serializers.Serializer[Any]):
    """A mask that somebody or something proposed; confirm it, or draw a better one."""

    id = serializers.IntegerField()
    mask_url = serializers.CharField()
    label = serializers.CharField()


class ObjectTask(serializers.Serializer[Any]):
    """Stage 1: choose an object of the photograph and draw its mask."""

    kind = Literal("object")
    photo = PhotoRef()
    proposals = MaskProposal(many=True)
    taken = TargetRef(many=True)


class PickCandidate(serializers.Serializer[Any]):
    """One candidate; nothing tells who made it."""

    id = serializers.IntegerField()
    mesh_url = serializers.CharField()
    preview_url = serializers.CharField()
    splat_url = serializers.CharField(help_text="Empty when there are no splats.")
    pose = PoseJson(allow_null=True)


class PickTask(serializers.Serializer[Any]):
    """Stage 2: pick the best candidate and rate it; the order is this person's own, at random."""

    kind = Literal("pick")
    photo = PhotoRef()
    target = TargetRef()
    intrinsics = Intrinsics(allow_null=True)
    mode = Literal(*Project.Stage2Mode.values)
    candidates = PickCandidate(many=True)


class PoseCandidate(serializers.Serializer[Any]):
    """The shape to be placed."""

    id = serializers.IntegerField()
    mesh_url = serializers.CharField()
    preview_url = serializers.CharField()
    num_faces = serializers.IntegerField()


class PoseTask(serializers.Serializer[Any]):
    """Stage 3: place the shape in the scene, starting from the model's proposal."""

    kind = Literal("pose")
    photo = PhotoRef()
    target = TargetRef()
    intrinsics = Intrinsics(allow_null=True)
    point_cloud = PointCloudRef(allow_null=True)
    candidate = PoseCandidate()
    proposal = PoseJson(allow_null=True)


TASKS: dict[str, serializers.Serializer[Any] | type[serializers.Serializer[Any]]] = {
    "object": ObjectTask,
    "pick": PickTask,
    "pose": PoseTask,
}


@extend_schema_field(
    PolymorphicProxySerializer(component_name="Task", serializers=TASKS, resource_type_field_name="kind")
)
class TaskField(serializers.Field[Any, Any, Any, Any]):
    def to_representation(self, value: Any) -> Any:
        shape = TASKS[value.kind]
        assert isinstance(shape, type)
        return shape(value).data


class QuizQuestion(serializers.Serializer[Any]):
    """A claim that is a question of the entry quiz: where one is in it, and what is asked."""

    number = serializers.IntegerField()
    num_questions = serializers.IntegerField()
    num_needed = serializers.IntegerField()
    num_right = serializers.IntegerField()
    prompt = serializers.CharField()


class Claim(serializers.Serializer[Any]):
    """A live lease on one task; the token proves it."""

    assignment = serializers.UUIDField(source="held.uuid")
    lease_token = serializers.UUIDField(source="held.lease_token")
    expires_at = serializers.DateTimeField(source="held.expires_at")
    lease_seconds = serializers.IntegerField()
    stage = serializers.ChoiceField(choices=Stage.choices, source="held.stage")
    draft = JsonObject(
        allow_null=True, source="held.draft", help_text="What this person last saved of this task."
    )
    draft_version = serializers.IntegerField(source="held.draft_version")
    task = TaskField()
    question = QuizQuestion(allow_null=True, help_text="Null for work.")


class LeaseRequest(Body):
    """The token that proves the lease."""

    lease_token = serializers.UUIDField()


class SkipRequest(LeaseRequest):
    """Why this person does not do this task."""

    reason = serializers.CharField(max_length=200)


class DraftRequest(LeaseRequest):
    """The work in hand, in whatever form the page likes."""

    draft = JsonObject()


class AssignmentState(serializers.Serializer[Any]):
    """What became of the assignment."""

    assignment = serializers.UUIDField(source="uuid")
    status = serializers.ChoiceField(choices=AssignmentStatus.choices)
    quiz = QuizMark(
        source="answer.quiz", default=None, help_text="The mark, when it was a question of the quiz."
    )


class Heartbeat(serializers.Serializer[Any]):
    """When the lease ends now."""

    expires_at = serializers.DateTimeField()


class DraftSaved(serializers.Serializer[Any]):
    """The version to send with the next draft."""

    draft_version = serializers.IntegerField()
