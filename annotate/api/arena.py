"""The arena: open one, take a blind pair, say which is better, read how the checkpoints stand."""

from __future__ import annotations

import secrets
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.assignments import IDEMPOTENCY_KEY, idempotency_key
from annotate.api.shapes.arena import (
    Arena,
    ArenaAnswer,
    ArenaAnswered,
    ArenaClaimRequest,
    ArenaList,
    ArenaMatch,
    ArenaRequest,
    ArenaResult,
    ArenaSkipped,
)
from annotate.api.view import ApiView, operation, present, read
from engine.access import MAY_TRAIN, access_arena, require
from engine.models import Arena as ArenaRow
from engine.selectors.arena import arena_result
from engine.selectors.arena_match import match_view
from engine.services import arena

PAGE = 200
NOTHING = OpenApiResponse(description="No pair waits for this person now.")


class ArenasView(ApiView):
    @operation("arenas.list", answer=ArenaList)
    def get(self, request: Request, project_id: int) -> Response:
        """The project's arenas, newest first."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        return present(ArenaList, {"results": ArenaRow.objects.filter(project_id=project_id)[:PAGE]})

    @operation("arenas.open", body=ArenaRequest, answer=Arena, status=201)
    def post(self, request: Request, project_id: int) -> Response:
        """Opens an arena between checkpoints; candidates that they lack are made, and pairs come with them."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        body = read(request, ArenaRequest)
        opened = arena.open_arena(
            project_id=project_id,
            name=body["name"],
            checkpoint_ids=body["checkpoints"],
            votes=body["votes"],
            seed=secrets.randbits(32) if body["seed"] is None else body["seed"],
            target_ids=body["targets"],
            num_targets=body["num_targets"],
            actor=self.actor,
        )
        return present(Arena, opened, status=201)


class ArenaView(ApiView):
    @operation("arenas.get", answer=ArenaResult)
    def get(self, request: Request, arena_id: int) -> Response:
        """How the checkpoints stand, with intervals and ranks."""
        access_arena(user_id=self.user_id, arena_id=arena_id, any_of=MAY_TRAIN)
        return present(ArenaResult, arena_result(arena_id))


class CloseArenaView(ApiView):
    @operation("arenas.close", answer=Arena)
    def post(self, request: Request, arena_id: int) -> Response:
        """No more pairs are given and no candidates made; what was claimed may still be answered."""
        access_arena(user_id=self.user_id, arena_id=arena_id, any_of=MAY_TRAIN)
        return present(Arena, arena.close_arena(arena_id=arena_id, actor=self.actor))


class ArenaClaimsView(ApiView):
    @operation("arenas.claim", body=ArenaClaimRequest, answer=ArenaMatch, also={204: NOTHING})
    def post(self, request: Request, project_id: int) -> Response:
        """The next blind pair for this person; one that they hold is returned again."""
        skipped = read(request, ArenaClaimRequest)["skipped"]
        match = arena.claim_match(
            project_id=project_id, user_id=self.user_id, now=timezone.now(), without=skipped
        )
        if match is None:
            return Response(status=204, headers={"Retry-After": "15"})
        return present(ArenaMatch, match_view(match.pk))


class ArenaAnswerView(ApiView):
    @operation("arenas.answer", body=ArenaAnswer, answer=ArenaAnswered, headers=(IDEMPOTENCY_KEY,))
    def post(self, request: Request, match: UUID) -> Response:
        """Says which of the pair is better; a repeat with the same key gets the first answer."""
        key = idempotency_key(request)
        answered = arena.answer_match(
            match=match, user_id=self.user_id, key=key, now=timezone.now(), **read(request, ArenaAnswer)
        )
        return present(ArenaAnswered, answered)


class ArenaSkipView(ApiView):
    @operation("arenas.skip", answer=ArenaSkipped)
    def post(self, request: Request, match: UUID) -> Response:
        """Gives a pair back to the others unanswered."""
        return present(ArenaSkipped, arena.skip_match(match=match, user_id=self.user_id))
