"""The pages: server-rendered shells that give the front end its configuration, and the probe of the supervisor."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from annotate.api.shapes.person import present_settings
from annotate.people import display_name
from engine.access import (
    ALWAYS,
    MAY_LOOK,
    MAY_MODEL,
    MAY_REVIEW,
    MAY_TRAIN,
    access_artist_case,
    access_project_by_slug,
)
from engine.errors import NoAccess, NotFound
from engine.models import Project
from engine.selectors.person import settings_of
from engine.selectors.projects import projects_of
from engine.states import Role, Stage

#: Who sees the way to /admin/.
MAY_CONSOLE = MAY_TRAIN | MAY_REVIEW | ALWAYS

#: What the pages speak; the first is spoken to everybody else.
LANGUAGES = ("en", "de")

P = ParamSpec("P")
Page = Callable[Concatenate[HttpRequest, P], HttpResponse]


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 when this process reaches its database and its cache, 503 otherwise."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        cache.get("healthz")
    except (DatabaseError, RedisError, OSError) as error:
        return JsonResponse({"status": "unavailable", "detail": type(error).__name__}, status=503)
    return JsonResponse({"status": "ok"})


def _page(view: Page[P]) -> Page[P]:
    """A page for people who are logged in, where the engine's refusals become pages too."""

    @never_cache
    @require_safe
    @login_required
    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotFound as error:
            raise Http404(error.message) from error
        except NoAccess as error:
            raise PermissionDenied(error.message) from error

    return answer


@_page
def projects(request: HttpRequest) -> HttpResponse:
    mine = projects_of(user_id=_user_id(request))
    may_console = (
        any(MAY_CONSOLE.intersection(project.roles) for project in mine) or request.user.is_superuser
    )
    return render(request, "annotate/projects.html", {"projects": mine, "may_console": may_console})


@_page
def home(request: HttpRequest, *, slug: str) -> HttpResponse:
    project, roles = access_project_by_slug(user_id=_user_id(request), slug=slug, any_of=MAY_LOOK)
    return _shell(request, project, roles, entry="home", page="home")


@_page
def work(request: HttpRequest, *, slug: str, stage: Stage) -> HttpResponse:
    project, roles = access_project_by_slug(user_id=_user_id(request), slug=slug, any_of=MAY_LOOK)
    return _shell(request, project, roles, entry="work", page="work", stage=stage.value)


@_page
def guidelines(request: HttpRequest, *, slug: str) -> HttpResponse:
    project, roles = access_project_by_slug(user_id=_user_id(request), slug=slug, any_of=MAY_LOOK)
    return _shell(request, project, roles, entry="guide", page="guidelines")


@_page
def artists(request: HttpRequest, *, slug: str) -> HttpResponse:
    project, roles = access_project_by_slug(
        user_id=_user_id(request), slug=slug, any_of=MAY_MODEL | MAY_REVIEW
    )
    return _shell(request, project, roles, entry="artists", page="artists")


@_page
def artist_case(request: HttpRequest, *, slug: str, case_id: int) -> HttpResponse:
    wanted = MAY_MODEL | MAY_REVIEW
    project, roles = access_project_by_slug(user_id=_user_id(request), slug=slug, any_of=wanted)
    case = access_artist_case(user_id=_user_id(request), case_id=case_id, any_of=wanted)
    if case.project_id != project.pk:
        raise NotFound("There is no such case in this project.")
    return _shell(request, project, roles, entry="artists", page="artist-case", caseId=case_id)


def _shell(
    request: HttpRequest, project: Project, roles: frozenset[Role], *, entry: str, page: str, **more: Any
) -> HttpResponse:
    user = request.user
    wanted = settings_of(user_id=_user_id(request))
    language = wanted.language or _browser_language(request)
    config = {
        "apiBase": "/api/v1",
        "wsBase": "/ws",
        "csrfToken": get_token(request),
        "project": {"id": project.pk, "slug": project.slug, "name": project.name, "roles": sorted(roles)},
        "user": {"id": user.pk, "username": user.get_username(), "name": display_name(user)},
        "page": page,
        "settings": present_settings(wanted),
        "language": language,
        "testHandle": settings.BROWSER_TEST_HANDLE,
        "limits": {
            "imageBytes": settings.MAX_IMAGE_BYTES,
            "pointMapBytes": settings.MAX_POINT_MAP_BYTES,
            "meshBytes": settings.MAX_MESH_BYTES,
        },
        **more,
    }
    shown = {"config": config, "entry": entry, "title": project.name}
    return render(request, "annotate/shell.html", {**shown, "language": language, "theme": wanted.theme})


def _browser_language(request: HttpRequest) -> str:
    """The first language of the browser that the pages speak."""
    asked = request.headers.get("Accept-Language", "").lower().split(",")
    spoken = (entry.partition(";")[0].strip()[:2] for entry in asked)
    return next((language for language in spoken if language in LANGUAGES), LANGUAGES[0])


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "login_required stands before every page"
    return request.user.pk
