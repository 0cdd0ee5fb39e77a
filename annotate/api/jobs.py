"""The assisted mask, the snapped pose, how far a worker is with a job, and the outbox for who drives the loop."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.reading import MEBIBYTE
from annotate.api.shapes.jobs import Job, JobList, JobStarted, RefineRequest, SnapRequest
from annotate.api.view import ApiView, operation, present, read
from engine import blobs
from engine.access import MAY_LOOK, MAY_TRAIN, access_job, require
from engine.errors import BadInput
from engine.models import Job as JobRow
from engine.selectors.outbox import queue_figures
from engine.services import retries
from engine.services.stage1 import Prompt, Refinement, request_refinement
from engine.services.stage3 import PoseResult, request_snap
from engine.states import JobStatus

PAGE = 200
STATUS = OpenApiParameter("status", str, enum=JobStatus.values, description="Only jobs of this status.")


class RefineView(ApiView):
    max_body_bytes = 32 * MEBIBYTE

    @operation("assignments.refine", body=RefineRequest, answer=JobStarted, status=202)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Asks a worker for a better mask from a box, a rough mask or strokes; the job's result has it."""
        body = read(request, RefineRequest)
        token = body.pop("lease_token")
        points = tuple(Prompt(**point) for point in body.pop("points"))
        job = request_refinement(
            user_id=self.user_id,
            assignment=assignment,
            lease_token=token,
            request=Refinement(**body, points=points),
            now=timezone.now(),
        )
        return present(JobStarted, job, status=202)


class SnapView(ApiView):
    @operation("assignments.snap", body=SnapRequest, answer=JobStarted, status=202)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Asks a worker to snap a pose to the scene's points; the job's ``snap`` has what it found."""
        body = read(request, SnapRequest)
        job = request_snap(
            user_id=self.user_id,
            assignment=assignment,
            lease_token=body.pop("lease_token"),
            with_scale=body.pop("with_scale"),
            pose=PoseResult(**body),
            now=timezone.now(),
        )
        return present(JobStarted, job, status=202)


class JobView(ApiView):
    @operation("jobs.get", answer=Job)
    def get(self, request: Request, job: UUID) -> Response:
        """How far a worker is with a job of one's project."""
        row = access_job(user_id=self.user_id, job=job, any_of=MAY_LOOK)
        shown = {"uuid": row.uuid, "kind": row.kind, "status": row.status, "error": row.error or None}
        snap = row.result if row.kind == "snap_pose" else None
        return present(Job, {**shown, "result": _result(row), "snap": snap})


class JobsView(ApiView):
    @operation("jobs.list", answer=JobList, headers=(STATUS,))
    def get(self, request: Request, project_id: int) -> Response:
        """The project's outbox: its queues, and its newest jobs."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        wanted = request.query_params.get("status")
        if wanted is not None and wanted not in JobStatus.values:
            raise BadInput(f"status must be one of {', '.join(JobStatus.values)}.")
        rows = JobRow.objects.filter(project_id=project_id)
        shown = rows if wanted is None else rows.filter(status=wanted)
        queues = queue_figures(rows, now=timezone.now())
        return present(JobList, {"queues": queues, "results": shown.order_by("-pk")[:PAGE]})


class RetryJobView(ApiView):
    @operation("jobs.retry", answer=JobStarted, status=202)
    def post(self, request: Request, job: UUID) -> Response:
        """Asks again for the work of a job that failed for good; the answer names the new job."""
        failed = access_job(user_id=self.user_id, job=job, any_of=MAY_TRAIN)
        again = retries.retry_job(job_id=failed.pk, actor=self.actor)
        return present(JobStarted, again, status=202)


def _result(row: JobRow) -> dict[str, Any] | None:
    """The job's result for a browser: a mask is given itself, because a page may not read the store's keys."""
    if row.result and "mask_key" in row.result:
        png = base64.b64encode(blobs.get(row.result["mask_key"])).decode("ascii")
        return {"mask_png": png, "by": row.result.get("by", "grabcut")}
    return row.result
