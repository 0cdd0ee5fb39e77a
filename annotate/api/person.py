"""What is a person's own: settings, and what they did last."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.shapes.person import MyWork, Settings, SettingsChange
from annotate.api.view import ApiView, operation, present, read
from engine.access import MAY_LOOK, require
from engine.selectors.my_work import my_work
from engine.selectors.person import settings_of
from engine.services.person import Wishes, save_settings


class SettingsView(ApiView):
    @operation("people.settings", answer=Settings)
    def get(self, request: Request) -> Response:
        """How the person wants their pages."""
        return present(Settings, settings_of(user_id=self.user_id))

    @operation("people.change_settings", body=SettingsChange, answer=Settings)
    def patch(self, request: Request) -> Response:
        """Changes what is named and leaves the rest."""
        wishes = Wishes(**read(request, SettingsChange))
        response = present(Settings, save_settings(user_id=self.user_id, wishes=wishes))
        if wishes.language == "":  # the browser's own again: what it remembers of the old one must go
            response.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
        return response


class MyWorkView(ApiView):
    @operation("people.my_work", answer=MyWork)
    def get(self, request: Request, project_id: int) -> Response:
        """The person's last 50 answers in the project, and their pace in each stage."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_LOOK)
        return present(MyWork, my_work(user_id=self.user_id, project_id=project_id, now=timezone.now()))
