"""Claim work, hold it, save a draft, hand it in or let it go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.reading import MEBIBYTE, header_text
from annotate.api.shapes.claims import (
    AssignmentState,
    Claim,
    ClaimRequest,
    DraftRequest,
    DraftSaved,
    Heartbeat,
    LeaseRequest,
    SkipRequest,
)
from annotate.api.shapes.results import Discarded, EscalateRequest, ObjectChoices, SubmitRequest, Submitted
from annotate.api.view import ApiView, operation, present, read
from engine.errors import BadInput
from engine.models import Assignment
from engine.selectors.quizzes import QuestionRef, answer_of, question_of
from engine.selectors.tasks import ObjectTask, PickTask, PoseTask, task_payload
from engine.services import escalations, leases, stage1, stage2, stage3, undo
from engine.states import Stage

VERSION = re.compile(r'"([0-9]{1,9})"')
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.UUID, OpenApiParameter.HEADER, required=True,
    description="Chosen by the sender, once per result; a repeat with the same key gets the first answer.",
)  # fmt: skip
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description='The draft_version one has, as in "3".',
)
NOTHING = OpenApiResponse(
    description="There is nothing to take now. Retry-After says when to ask again; X-Candid8-Reason says why: "
    "empty, all_leased, not_qualified, paused, guidelines_changed (read them first) or quiz_needed (pass it first)."
)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lease with what one needs to do the task."""

    held: Assignment
    lease_seconds: int
    task: ObjectTask | PickTask | PoseTask
    question: QuestionRef | None


class ClaimsView(ApiView):
    @operation("assignments.claim", body=ClaimRequest, answer=Claim, also={204: NOTHING})
    def post(self, request: Request, project_id: int) -> Response:
        """Takes the next task of a stage; a live lease of the same person in that stage is returned again."""
        body = read(request, ClaimRequest)
        claimed = leases.claim(
            user_id=self.user_id,
            project_id=project_id,
            stage=Stage(body["stage"]),
            prefetch=body["prefetch"],
            again=body["again"],
            quiz=body["quiz"],
            now=timezone.now(),
        )
        if isinstance(claimed, leases.NothingToClaim):
            headers = {"Retry-After": str(claimed.retry_after_s), "X-Candid8-Reason": claimed.reason}
            return Response(status=204, headers=headers)
        return _present_claim(claimed)


class SubmitView(ApiView):
    max_body_bytes = 32 * MEBIBYTE

    @operation("assignments.submit", body=SubmitRequest, answer=Submitted, headers=(IDEMPOTENCY_KEY,))
    def post(self, request: Request, assignment: UUID) -> Response:
        """Hands in the result of a live lease. Without one: 409, and what was sent is kept as the draft."""
        key = idempotency_key(request)
        body = read(request, SubmitRequest)
        result = body.pop("result")
        given: dict[str, Any] = {
            **body,
            "user_id": self.user_id,
            "assignment": assignment,
            "key": key,
            "now": timezone.now(),
        }
        match result:
            case ObjectChoices():
                answer = stage1.submit_object(**given, targets=result, discard=None)
            case Discarded():
                answer = stage1.submit_object(**given, targets=(), discard=str(result))
            case stage2.PickResult():
                answer = stage2.submit_pick(**given, result=result)
            case _:
                answer = stage3.submit_pose(**given, result=result)
        # As it is: a repeat must give the very same body.
        return Response(answer_of(answer))


class SkipView(ApiView):
    @operation("assignments.skip", body=SkipRequest, answer=AssignmentState)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Lets go of a task for good: this person will not be given it again."""
        body = read(request, SkipRequest)
        ended = leases.skip(user_id=self.user_id, assignment=assignment, **body, now=timezone.now())
        return present(AssignmentState, ended)


class EscalateView(ApiView):
    @operation("assignments.escalate", body=EscalateRequest, answer=AssignmentState)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Says that it cannot be done as it is; the target goes to the artists, or for a wrong mask to stage 1."""
        body = read(request, EscalateRequest)
        ended = escalations.escalate(user_id=self.user_id, assignment=assignment, **body, now=timezone.now())
        return present(AssignmentState, ended)


class UndoView(ApiView):
    @operation("assignments.undo", answer=Claim)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Takes one's last word on a task back: the task again, with a draft made of the answer.

        409 with a code when it must stand: undo_too_late, undo_built_on (somebody works on what came of it),
        undo_frozen (a dataset version may rest on it), undo_nothing. The task in hand becomes the next one.
        """
        again = undo.undo(user_id=self.user_id, assignment=assignment, now=timezone.now())
        return _present_claim(again)


class ReleaseView(ApiView):
    @operation("assignments.release", body=LeaseRequest, answer=AssignmentState)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Lets go of a task for now; the draft waits for this person."""
        body = read(request, LeaseRequest)
        ended = leases.release(user_id=self.user_id, assignment=assignment, **body, now=timezone.now())
        return present(AssignmentState, ended)


class HeartbeatView(ApiView):
    @operation("assignments.heartbeat", body=LeaseRequest, answer=Heartbeat)
    def post(self, request: Request, assignment: UUID) -> Response:
        """Prolongs a live lease."""
        body = read(request, LeaseRequest)
        expires_at = leases.heartbeat(user_id=self.user_id, assignment=assignment, **body, now=timezone.now())
        return present(Heartbeat, {"expires_at": expires_at})


class DraftView(ApiView):
    max_body_bytes = 8 * MEBIBYTE

    @operation("assignments.draft", body=DraftRequest, answer=DraftSaved, headers=(IF_MATCH,))
    def put(self, request: Request, assignment: UUID) -> Response:
        """Saves the work in hand. When the lease is lost the answer is 409, and the draft is kept all the same."""
        version = _expected_version(request)
        body = read(request, DraftRequest)
        saved = leases.save_draft(
            user_id=self.user_id, assignment=assignment, **body, version=version, now=timezone.now()
        )
        return present(DraftSaved, {"draft_version": saved})


def _present_claim(held: Assignment) -> Response:
    given = Held(
        held=held,
        lease_seconds=held.project.lease_seconds,
        task=task_payload(held),
        question=question_of(held),
    )
    return present(Claim, given)


def idempotency_key(request: Request) -> str:
    """The header that makes a repeat harmless; raises BadInput unless it is a UUID."""
    text = header_text(request, "Idempotency-Key")
    try:
        return str(UUID(text))
    except ValueError as error:
        raise BadInput(
            "The header Idempotency-Key must be a UUID that you choose once for this result."
        ) from error


def _expected_version(request: Request) -> int:
    text = header_text(request, "If-Match")
    if not text:
        raise BadInput(
            'The header If-Match must give the draft_version you have, as in "3".',
            code="draft_version_missing",
        )
    found = VERSION.fullmatch(text)
    if found is None:
        raise BadInput(f'The header If-Match must look like "3", not {text[:40]}.')
    return int(found[1])
