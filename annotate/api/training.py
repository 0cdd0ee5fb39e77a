"""Datasets, runs, checkpoints and deployments for scripts: the same verbs as the console."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.reading import row_id_parameter
from annotate.api.shapes.training import (
    CheckpointDetail,
    CheckpointList,
    CloneRequest,
    DatasetDiff,
    DatasetVersionDetail,
    DatasetVersionList,
    Deployment,
    DeploymentList,
    FreezeRequest,
    PromoteRequest,
    Run,
    RunDetail,
    RunList,
    RunRequest,
)
from annotate.api.view import ApiView, operation, present, read
from engine.access import (
    MAY_TRAIN,
    access_dataset_version,
    access_run,
    require,
    require_ml_engineer_somewhere,
)
from engine.errors import BadInput
from engine.models import Checkpoint
from engine.selectors import deployments
from engine.selectors.checkpoints import checkpoint_story
from engine.selectors.dataset_diff import version_diff
from engine.selectors.datasets import versions_of
from engine.selectors.runs import curves, runs_of
from engine.services import checkpoints, datasets, runs

PAGE = 200
AGAINST = OpenApiParameter("against", int, required=True, description="The earlier version.")


class DatasetVersionsView(ApiView):
    @operation("datasets.list", answer=DatasetVersionList)
    def get(self, request: Request, project_id: int) -> Response:
        """The project's dataset versions, newest first."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        return present(DatasetVersionList, {"results": versions_of(project_id)[:PAGE]})

    @operation("datasets.freeze", body=FreezeRequest, answer=DatasetVersionDetail, status=201)
    def post(self, request: Request, project_id: int) -> Response:
        """Freezes D+ and the preference pairs of all judgements so far."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        body = read(request, FreezeRequest)
        version = datasets.freeze(project_id=project_id, alpha=body["alpha"], actor=self.actor)
        return present(DatasetVersionDetail, version, status=201)


class DatasetVersionView(ApiView):
    @operation("datasets.get", answer=DatasetVersionDetail)
    def get(self, request: Request, dataset_version_id: int) -> Response:
        """One version: its counts, and what was left out for which reason."""
        version = access_dataset_version(
            user_id=self.user_id, dataset_version_id=dataset_version_id, any_of=MAY_TRAIN
        )
        return present(DatasetVersionDetail, version)


class DatasetDiffView(ApiView):
    @operation("datasets.diff", answer=DatasetDiff, headers=(AGAINST,))
    def get(self, request: Request, dataset_version_id: int) -> Response:
        """What changed from the earlier version to this one."""
        after = access_dataset_version(
            user_id=self.user_id, dataset_version_id=dataset_version_id, any_of=MAY_TRAIN
        )
        against = row_id_parameter(request, "against")
        if against is None:
            raise BadInput("Name the earlier version: ?against=12.")
        before = access_dataset_version(user_id=self.user_id, dataset_version_id=against, any_of=MAY_TRAIN)
        return present(DatasetDiff, version_diff(before, after))


class RunsView(ApiView):
    @operation("runs.list", answer=RunList)
    def get(self, request: Request, project_id: int) -> Response:
        """The project's training runs, newest first."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        return present(RunList, {"results": runs_of(project_id)[:PAGE]})

    @operation("runs.start", body=RunRequest, answer=Run, status=201)
    def post(self, request: Request, project_id: int) -> Response:
        """Queues a training run on a frozen dataset version."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        body = read(request, RunRequest)
        run = runs.start_run(
            project_id=project_id,
            dataset_version_id=body["dataset_version"],
            objective=body["objective"],
            base_checkpoint_id=body["base_checkpoint"],
            seed=body["seed"],
            settings=body["settings"],
            actor=self.actor,
        )
        return present(Run, run, status=201)


class RunView(ApiView):
    @operation("runs.get", answer=RunDetail)
    def get(self, request: Request, run_id: int) -> Response:
        """One run: how far it is, its curves, the end of its log."""
        run = access_run(user_id=self.user_id, run_id=run_id, any_of=MAY_TRAIN)
        return present(RunDetail, {"run": run, "curves": curves(run_id)})


class CancelRunView(ApiView):
    @operation("runs.cancel", answer=Run)
    def post(self, request: Request, run_id: int) -> Response:
        """Stops a run that is queued or under way."""
        access_run(user_id=self.user_id, run_id=run_id, any_of=MAY_TRAIN)
        return present(Run, runs.cancel_run(run_id=run_id, actor=self.actor))


class ResumeRunView(ApiView):
    @operation("runs.resume", answer=Run)
    def post(self, request: Request, run_id: int) -> Response:
        """Queues a failed run again, from the last state it had saved."""
        access_run(user_id=self.user_id, run_id=run_id, any_of=MAY_TRAIN)
        return present(Run, runs.resume_run(run_id=run_id, actor=self.actor))


class CloneRunView(ApiView):
    @operation("runs.clone", body=CloneRequest, answer=Run, status=201)
    def post(self, request: Request, run_id: int) -> Response:
        """Queues a run like this one, with what differs."""
        access_run(user_id=self.user_id, run_id=run_id, any_of=MAY_TRAIN)
        body = read(request, CloneRequest)
        run = runs.clone_run(
            run_id=run_id,
            seed=body["seed"],
            settings=body["settings"],
            dataset_version_id=body["dataset_version"],
            actor=self.actor,
        )
        return present(Run, run, status=201)


class CheckpointsView(ApiView):
    @operation("checkpoints.list", answer=CheckpointList)
    def get(self, request: Request) -> Response:
        """All checkpoints, newest first; they belong to no project."""
        require_ml_engineer_somewhere(self.user)
        return present(CheckpointList, {"results": Checkpoint.objects.order_by("-pk")[:PAGE]})


class CheckpointView(ApiView):
    @operation("checkpoints.get", answer=CheckpointDetail)
    def get(self, request: Request, checkpoint_id: int) -> Response:
        """One checkpoint: its evaluation against its parent, examples to look at, and its line of descent."""
        require_ml_engineer_somewhere(self.user)
        return present(CheckpointDetail, checkpoint_story(checkpoint_id))


class DeploymentsView(ApiView):
    @operation("deployments.list", answer=DeploymentList)
    def get(self, request: Request, project_id: int) -> Response:
        """What serves and what served, newest generation first."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        return present(DeploymentList, {"results": deployments.history()[:PAGE]})

    @operation("deployments.promote", body=PromoteRequest, answer=Deployment, status=201)
    def post(self, request: Request, project_id: int) -> Response:
        """Makes a verified checkpoint serve; workers swap at their next job."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        body = read(request, PromoteRequest)
        deployed = checkpoints.deploy(
            checkpoint_id=body["checkpoint"], actor=self.actor, override=body["override"]
        )
        return present(Deployment, deployed, status=201)


class RollbackView(ApiView):
    @operation("deployments.rollback", answer=Deployment, status=201)
    def post(self, request: Request, project_id: int) -> Response:
        """Makes the checkpoint serve that served before the present one."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        return present(Deployment, checkpoints.rollback(actor=self.actor), status=201)
