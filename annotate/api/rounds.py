"""Rounds for scripts: open, close, and what one has given so far."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.shapes.rounds import OpenRoundRequest, Round, RoundDetail, RoundList
from annotate.api.view import ApiView, operation, present, read
from engine.access import MAY_REVIEW, MAY_TRAIN, access_round, require
from engine.models import Round as RoundRow
from engine.selectors.quality import round_figures
from engine.selectors.queues import work_left
from engine.services import rounds

MAY_SEE = MAY_TRAIN | MAY_REVIEW
PAGE = 200


class RoundsView(ApiView):
    @operation("rounds.list", answer=RoundList)
    def get(self, request: Request, project_id: int) -> Response:
        """The project's rounds, newest first."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_SEE)
        found = RoundRow.objects.filter(project_id=project_id).select_related("deployment")[:PAGE]
        return present(RoundList, {"results": found})

    @operation("rounds.open", body=OpenRoundRequest, answer=Round, status=201)
    def post(self, request: Request, project_id: int) -> Response:
        """Opens the next round with its bar; the one before it must be closed."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_TRAIN)
        body = read(request, OpenRoundRequest)
        opened = rounds.open_round(project_id=project_id, **body, actor=self.actor)
        return present(Round, opened, status=201)


class RoundView(ApiView):
    @operation("rounds.get", answer=RoundDetail)
    def get(self, request: Request, round_id: int) -> Response:
        """One round: what it has given so far, and what is still under way in its project."""
        found = access_round(user_id=self.user_id, round_id=round_id, any_of=MAY_SEE)
        left = work_left(found.project_id)
        return present(RoundDetail, {"round": found, "figures": round_figures(found), "work_left": left})


class CloseRoundView(ApiView):
    @operation("rounds.close", answer=Round)
    def post(self, request: Request, round_id: int) -> Response:
        """Closes the round; work that is still under way keeps naming it."""
        access_round(user_id=self.user_id, round_id=round_id, any_of=MAY_TRAIN)
        return present(Round, rounds.close_round(round_id=round_id, actor=self.actor))
