"""The assisted mask, the snapped pose, and how far a worker is with a job."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.reading import MEBIBYTE
from annotate.api.shapes.jobs import Job, JobStarted, RefineRequest, SnapRequest
from annotate.api.view import ApiView, operation, present, read
from engine import blobs
from engine.access import access_job
from engine.models import Job as JobRow
from engine.services.stage1 import Prompt, Refinement, request_refinement
from engine.services.stage3 import PoseResult, request_snap


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
        row = access_job(user_id=self.user_id, job=job)
        shown = {"uuid": row.uuid, "kind": row.kind, "status": row.status, "error": row.error or None}
        snap = row.result if row.kind == "snap_pose" else None
        return present(Job, {**shown, "result": _result(row), "snap": snap})


def _result(row: JobRow) -> dict[str, Any] | None:
    """The job's result for a browser: a mask is given itself, because a page may not read the store's keys."""
    if row.result and "mask_key" in row.result:
        png = base64.b64encode(blobs.get(row.result["mask_key"])).decode("ascii")
        return {"mask_png": png, "by": row.result.get("by", "grabcut")}
    return row.result
