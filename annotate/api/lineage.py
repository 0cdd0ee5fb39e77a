"""A target's story, for scripts that ask where an example came from."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.shapes.lineage import TargetLineage
from annotate.api.view import ApiView, operation, present
from engine.access import MAY_REVIEW, MAY_TRAIN, access_target
from engine.selectors.lineage import target_lineage


class TargetLineageView(ApiView):
    @operation("targets.lineage", answer=TargetLineage)
    def get(self, request: Request, target_id: int) -> Response:
        """Image, mask, candidates with their makers, judgements, versions and runs of one target."""
        access_target(user_id=self.user_id, target_id=target_id, any_of=MAY_TRAIN | MAY_REVIEW)
        return present(TargetLineage, target_lineage(target_id))
