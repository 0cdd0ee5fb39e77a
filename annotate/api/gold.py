"""Gold tasks for scripts: what there is, what may become gold, and the making of it."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.shapes.gold import GoldItem, GoldList, MakeGoldRequest
from annotate.api.view import ApiView, operation, present, read
from engine.access import ALWAYS, require
from engine.selectors import gold as gold_rows
from engine.services import gold
from engine.states import Stage


class GoldView(ApiView):
    @operation("gold.list", answer=GoldList)
    def get(self, request: Request, project_id: int, stage: Stage) -> Response:
        """The stage's gold tasks, and its newest judgements that may become gold; for leads."""
        require(user_id=self.user_id, project_id=project_id, any_of=ALWAYS)
        found = {
            "items": gold_rows.items_of(project_id, stage),
            "sources": gold_rows.sources_of(project_id, stage),
        }
        return present(GoldList, found)

    @operation("gold.make", body=MakeGoldRequest, answer=GoldItem, status=201)
    def post(self, request: Request, project_id: int, stage: Stage) -> Response:
        """Makes a gold task of a judgement: what it said is the known answer."""
        require(user_id=self.user_id, project_id=project_id, any_of=ALWAYS)
        body = read(request, MakeGoldRequest)
        made = gold.make(
            project_id=project_id,
            stage=stage,
            source_id=body["source"],
            why=body["why"],
            also_best=body["also_best"],
            avoid=body["avoid"],
            bar=gold.bar_of(body),
            actor=self.actor,
        )
        return present(GoldItem, made, status=201)
