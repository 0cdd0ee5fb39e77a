"""Who am I, and what is this project."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.shapes.projects import Me, Project
from annotate.api.view import ApiView, operation, present
from annotate.people import display_name
from engine.access import MAY_LOOK, access_project
from engine.selectors.projects import overview, projects_of


class MeView(ApiView):
    @operation("people.me", answer=Me)
    def get(self, request: Request) -> Response:
        """The person of the session and their projects."""
        person = {"id": self.user_id, "username": self.user.get_username(), "name": display_name(self.user)}
        return present(Me, {"user": person, "projects": projects_of(user_id=self.user_id)})


class ProjectView(ApiView):
    @operation("projects.get", answer=Project)
    def get(self, request: Request, project_id: int) -> Response:
        """One project at a glance: how it is run and what waits in it."""
        project, roles = access_project(user_id=self.user_id, project_id=project_id, any_of=MAY_LOOK)
        shown = overview(project=project, roles=roles, user_id=self.user_id, now=timezone.now())
        return present(Project, shown)
