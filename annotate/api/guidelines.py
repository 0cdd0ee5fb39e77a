"""What one must know before one judges: the guidelines of each stage, and that one has read them."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.shapes.guidelines import Acknowledged, Guidelines
from annotate.api.view import ApiView, operation, present
from engine.access import MAY_LOOK, require
from engine.selectors.guidelines import guides_of
from engine.services import guidelines


class GuidelinesView(ApiView):
    @operation("guidelines.get", answer=Guidelines)
    def get(self, request: Request, project_id: int) -> Response:
        """Each stage's newest guidelines as safe HTML, with examples, anchors of the rating, and the entry quiz."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_LOOK)
        return present(Guidelines, {"stages": guides_of(project_id=project_id, user_id=self.user_id)})


class AcknowledgeView(ApiView):
    @operation("guidelines.acknowledge", answer=Acknowledged)
    def post(self, request: Request, version_id: int) -> Response:
        """Says that this person has read a published version; twice is once."""
        read = guidelines.acknowledge(user_id=self.user_id, version_id=version_id, now=timezone.now())
        return present(Acknowledged, read)
