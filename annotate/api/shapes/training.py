"""The JSON of dataset versions, runs, checkpoints and deployments, for scripts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.api.reading import Body, Count, FiniteFloat, JsonObject, RowIdField
from annotate.converters import BIGGEST_ID
from engine import blobs
from engine.models import DatasetVersion as VersionRow
from engine.models import Deployment as DeploymentRow
from engine.models import TrainingRun
from engine.states import CheckpointStatus, DatasetStatus, DeploymentStatus, RunStatus


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class LineIds(serializers.Field[Any, Any, Any, Any]):
    """The ids of lines of a manifest."""

    def __init__(self) -> None:
        super().__init__(read_only=True)

    def to_representation(self, value: Any) -> list[str]:
        return [line["id"] for line in value]


class FreezeRequest(Body):
    """The bar that a rating must reach."""

    alpha = FiniteFloat(
        min_value=0, max_value=1, allow_null=True, default=None, help_text="Default: the newest round's bar."
    )


class DatasetVersion(serializers.Serializer[Any]):
    """A frozen projection of the judgements."""

    id = serializers.IntegerField()
    number = serializers.IntegerField()
    round = serializers.IntegerField(source="round.number", default=None, allow_null=True)
    alpha = serializers.FloatField()
    status = serializers.ChoiceField(choices=DatasetStatus.choices)
    manifest_sha256 = serializers.CharField()
    num_demonstrations = serializers.IntegerField()
    num_preference_pairs = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    frozen_at = serializers.DateTimeField(allow_null=True)


class DatasetVersionList(serializers.Serializer[Any]):
    """Newest first."""

    results = DatasetVersion(many=True)


class Exclusion(serializers.Serializer[Any]):
    """A judgement or a pair that was left out."""

    subject = serializers.CharField()
    reason = serializers.CharField()


class DatasetVersionDetail(DatasetVersion):
    """A version with its counts and what was left out; its manifest is stored under its hash and never changes."""

    counts = JsonObject()
    exclusions = Exclusion(many=True)
    manifest_url = serializers.SerializerMethodField(help_text="JSON lines; valid for some hours.")

    def get_manifest_url(self, version: VersionRow) -> str:
        return blobs.url(version.manifest_key) if version.manifest_key else ""


class ChangedDemonstration(serializers.Serializer[Any]):
    """A demonstration of both versions, with the fields of its line that differ."""

    id = serializers.CharField(source="after.id")
    differs = serializers.ListField(child=serializers.CharField(), source="fields")
    before = JsonObject()
    after = JsonObject()


class CountChange(serializers.Serializer[Any]):
    """How often something is in either version."""

    name = serializers.CharField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()


class CountChanges(serializers.Serializer[Any]):
    """One table of counts; ``key`` as in the version's ``counts``."""

    key = serializers.CharField()
    rows = CountChange(many=True)


class ReasonChange(serializers.Serializer[Any]):
    """What is left out for one reason, in either version, and which of it is new or no longer left out."""

    reason = serializers.CharField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()
    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())


class DatasetDiff(serializers.Serializer[Any]):
    """From ``before`` to ``after``, by the ids of the manifests' lines; turned pairs prefer what they passed over."""

    before = DatasetVersion()
    after = DatasetVersion()
    is_same = serializers.BooleanField()
    added = LineIds()
    removed = LineIds()
    changed = ChangedDemonstration(many=True)
    num_kept = serializers.IntegerField()
    pairs_added = LineIds()
    pairs_removed = LineIds()
    pairs_turned = serializers.ListField(child=serializers.CharField())
    num_pairs_kept = serializers.IntegerField()
    counts = CountChanges(many=True)
    exclusions = ReasonChange(many=True)


class RunRequest(Body):
    """What to train on, how, and from where."""

    dataset_version = RowIdField()
    objective = serializers.ChoiceField(choices=TrainingRun.Objective.choices)
    base_checkpoint = RowIdField(allow_null=True, default=None, help_text="Default: what serves now.")
    seed = Count(default=0, max_value=BIGGEST_ID)
    settings = JsonObject(default=dict)


class CloneRequest(Body):
    """What differs from the run that is cloned; nothing: the same run once more."""

    dataset_version = RowIdField(
        allow_null=True, default=None, help_text="Default: what the run learnt from."
    )
    seed = Count(allow_null=True, default=None, max_value=BIGGEST_ID, help_text="Default: the run's own.")
    settings = JsonObject(default=dict, help_text="Those that are not named stay as they were.")


class Curve(serializers.Serializer[Any]):
    """One metric over the steps of a run."""

    name = serializers.CharField()
    steps = serializers.ListField(child=serializers.IntegerField())
    values = serializers.ListField(child=serializers.FloatField())


class Run(serializers.Serializer[Any]):
    """A training run."""

    id = serializers.IntegerField()
    dataset_version = serializers.IntegerField(source="dataset_version_id")
    objective = serializers.ChoiceField(choices=TrainingRun.Objective.choices)
    base_checkpoint = serializers.IntegerField(source="base_checkpoint_id")
    output_checkpoint = serializers.IntegerField(source="output_checkpoint_id", allow_null=True)
    seed = serializers.IntegerField()
    settings = JsonObject()
    status = serializers.ChoiceField(choices=RunStatus.choices)
    phase = serializers.CharField()
    step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    detail = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class RunList(serializers.Serializer[Any]):
    """Newest first."""

    results = Run(many=True)


class RunDetail(serializers.Serializer[Any]):
    """A run with its curves and the end of its log."""

    run = Run()
    curves = Curve(many=True)
    log_tail = serializers.CharField(source="run.log_tail")


class EvaluationField(JsonObject):
    """The report, with ``audits``, oldest first; its examples are files, given by the checkpoint's own address."""

    def to_representation(self, value: Any) -> Any:
        return {name: each for name, each in value.items() if name != "examples"}


class Checkpoint(serializers.Serializer[Any]):
    """Weights and what is known of them."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    sha256 = serializers.CharField()
    preset = serializers.CharField()
    parent = serializers.IntegerField(source="parent_id", allow_null=True)
    status = serializers.ChoiceField(choices=CheckpointStatus.choices)
    evaluation = EvaluationField(allow_null=True)
    detail = serializers.CharField()
    created_at = serializers.DateTimeField()


class ExampleShape(serializers.Serializer[Any]):
    """One candidate of a held-out object; no mesh where it has no surface."""

    label = serializers.CharField()
    mesh_url = serializers.CharField(allow_blank=True)
    note = serializers.CharField(allow_blank=True)


class EvaluationExample(serializers.Serializer[Any]):
    """One held-out object to look at: truth and candidates of the parent, then truth and those of this checkpoint."""

    case = serializers.CharField()
    family = serializers.CharField()
    photo_url = serializers.CharField()
    change = serializers.FloatField(allow_null=True, help_text="Of the shown candidates' mean volume IoU.")
    columns = serializers.IntegerField()
    shapes = ExampleShape(many=True)


class CheckpointDetail(serializers.Serializer[Any]):
    """A checkpoint with its line of descent, nearest first, its children, and examples of its evaluation."""

    checkpoint = Checkpoint()
    ancestors = serializers.ListField(child=serializers.IntegerField())
    children = serializers.ListField(child=serializers.IntegerField())
    made_by_run = serializers.IntegerField(allow_null=True)
    examples = EvaluationExample(many=True)


class CheckpointList(serializers.Serializer[Any]):
    """Newest first."""

    results = Checkpoint(many=True)


class PromoteRequest(Body):
    """The checkpoint that shall serve; ``override`` says why, where its arena does not let it by."""

    checkpoint = RowIdField()
    override = serializers.CharField(max_length=200, allow_blank=True, default="")


class CanaryRequest(Body):
    """The checkpoint that shall make a share of the batches beside what serves."""

    checkpoint = RowIdField()
    share = FiniteFloat(help_text="Of the batches: above 0, below 1.")


class ShareRequest(Body):
    """The canary's new share of the batches."""

    share = FiniteFloat(help_text="Above 0, below 1.")


class PromoteCanaryRequest(Body):
    """``override`` says why the canary shall serve, where its arena does not let it by."""

    override = serializers.CharField(max_length=200, allow_blank=True, default="")


class AbandonRequest(Body):
    """Why the canary is given up."""

    reason = serializers.CharField(max_length=200, allow_blank=True, default="")


class Deployment(serializers.Serializer[Any]):
    """A checkpoint that serves, served, or makes ``canary_share`` of the batches beside what serves."""

    id = serializers.IntegerField()
    role = serializers.ChoiceField(choices=DeploymentRow.DeploymentRole.choices)
    checkpoint = serializers.IntegerField(source="checkpoint_id")
    checkpoint_name = serializers.CharField(source="checkpoint.name")
    generation = serializers.IntegerField()
    status = serializers.ChoiceField(choices=DeploymentStatus.choices)
    canary_share = serializers.FloatField()
    serving_since = serializers.DateTimeField(allow_null=True)
    swap_error = serializers.CharField()
    created_at = serializers.DateTimeField()


class WorkerSwap(serializers.Serializer[Any]):
    """What a worker process loaded last, or could not load."""

    worker = serializers.CharField()
    generation = serializers.IntegerField(source="deployment.generation")
    checkpoint_name = serializers.CharField(source="deployment.checkpoint.name")
    at = serializers.DateTimeField()
    seconds = serializers.FloatField()
    error = serializers.CharField()


class WorkerSwapList(serializers.Serializer[Any]):
    """Newest first."""

    results = WorkerSwap(many=True)


class DeploymentList(serializers.Serializer[Any]):
    """Newest generation first."""

    results = Deployment(many=True)
