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
from django.utils.translation import get_language, override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from annotate.api.shapes.person import present_settings
from annotate.people import display_name
from engine.access import (
    ALWAYS,
    MAY_ANNOTATE,
    MAY_LOOK,
    MAY_MODEL,
    MAY_REVIEW,
    MAY_TRAIN,
    access_artist_case,
    access_project_by_slug,
)
from engine.errors import NoAccess, NotFound
from engine.models import PersonalSettings, Project
from engine.selectors.person import settings_of
from engine.selectors.projects import projects_of
from engine.states import Role, Stage

#: Who sees the way to /admin/.
MAY_CONSOLE = MAY_TRAIN | MAY_REVIEW | ALWAYS

#: For how long a browser remembers the person's language, for the pages before they have logged in.
REMEMBERED_SECONDS = 365 * 24 * 3600

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
    wanted = settings_of(user_id=_user_id(request))
    return _shown(request, "annotate/projects.html", wanted, {"projects": mine, "may_console": may_console})


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
def arena(request: HttpRequest, *, slug: str) -> HttpResponse:
    wanted = MAY_ANNOTATE | MAY_REVIEW
    project, roles = access_project_by_slug(user_id=_user_id(request), slug=slug, any_of=wanted)
    return _shell(request, project, roles, entry="arena", page="arena")


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
    language = wanted.language or get_language()
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
    return _shown(request, "annotate/shell.html", wanted, shown)


def _shown(
    request: HttpRequest, template: str, wanted: PersonalSettings, context: dict[str, Any]
) -> HttpResponse:
    """The page as the person wants it; their browser remembers the language for the pages that know nobody."""
    with override(wanted.language or get_language()):
        response = render(request, template, {**context, "theme": wanted.theme})
    cookie = settings.LANGUAGE_COOKIE_NAME
    if wanted.language:
        response.set_cookie(
            cookie,
            wanted.language,
            max_age=REMEMBERED_SECONDS,
            samesite="Lax",
            httponly=True,
            secure=request.is_secure(),
        )
    elif cookie in request.COOKIES:
        response.delete_cookie(cookie, samesite="Lax")
    return response


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "login_required stands before every page"
    return request.user.pk
