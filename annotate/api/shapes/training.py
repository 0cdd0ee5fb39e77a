"""The JSON of dataset versions, runs, checkpoints and deployments, for scripts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body, Count, FiniteFloat, JsonObject, RowIdField
from annotate.converters import BIGGEST_ID
from engine.models import Deployment as DeploymentRow
from engine.models import TrainingRun
from engine.states import CheckpointStatus, DatasetStatus, DeploymentStatus, RunStatus


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
    """A version with its counts and what was left out."""

    counts = JsonObject()
    exclusions = Exclusion(many=True)


class RunRequest(Body):
    """What to train on, how, and from where."""

    dataset_version = RowIdField()
    objective = serializers.ChoiceField(choices=TrainingRun.Objective.choices)
    base_checkpoint = RowIdField(allow_null=True, default=None, help_text="Default: what serves now.")
    seed = Count(default=0, max_value=BIGGEST_ID)
    settings = JsonObject(default=dict)


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


class Checkpoint(serializers.Serializer[Any]):
    """Weights and what is known of them."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    sha256 = serializers.CharField()
    preset = serializers.CharField()
    parent = serializers.IntegerField(source="parent_id", allow_null=True)
    status = serializers.ChoiceField(choices=CheckpointStatus.choices)
    evaluation = JsonObject(allow_null=True)
    detail = serializers.CharField()
    created_at = serializers.DateTimeField()


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
