"""The two kinds of doors of the console: pages that only read, and actions that call one service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from engine.admin.members import may_look
from engine.errors import EngineError, NoAccess, NotFound
from engine.transitions import Actor

View = Callable[..., HttpResponse]


@dataclass(frozen=True, kw_only=True)
class Done:
    """What an action says to the person, and the page they see next."""

    message: str
    url: str


def page(template: str) -> Callable[[Callable[..., dict[str, Any]]], View]:
    """A GET page: the view gives the template's context."""

    def decorate(view: Callable[..., dict[str, Any]]) -> View:
        @never_cache
        @require_safe
        @wraps(view)
        def answer(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            return _inside(
                request,
                lambda: TemplateResponse(
                    request, template, {**admin.site.each_context(request), **view(request, **kwargs)}
                ),
            )

        return answer

    return decorate


def data(view: View) -> View:
    """A GET that answers with something else than a page."""

    @never_cache
    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return _inside(request, lambda: view(request, **kwargs))

    return answer


def action(*, back: Callable[..., str]) -> Callable[[Callable[..., Done]], View]:
    """A POST that calls one service. What the engine refuses becomes a message on the page ``back(**kwargs)``."""

    def decorate(view: Callable[..., Done]) -> View:
        @never_cache
        @require_POST
        @wraps(view)
        def answer(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            def act() -> HttpResponse:
                try:
                    done = view(request, **kwargs)
                except (NotFound, NoAccess):
                    raise
                except EngineError as error:
                    messages.error(request, error.message)
                    return HttpResponseRedirect(back(**kwargs))
                messages.success(request, done.message)
                return HttpResponseRedirect(done.url)

            return _inside(request, act)

        return answer

    return decorate


def log_setting(request: HttpRequest, row: models.Model, *, said: str) -> None:
    """Notes in the admin's history of ``row`` who changed which setting."""
    assert request.user.pk is not None, "the door lets nobody in without a name"
    LogEntry.objects.log_actions(request.user.pk, [row], CHANGE, said, single_object=True)


def actor_of(request: HttpRequest) -> Actor:
    """Who acts, for the journal."""
    return Actor(user_id=request.user.pk, name=request.user.get_username())


def _inside(request: HttpRequest, answer: Callable[[], HttpResponse]) -> HttpResponse:
    """Lets members in, sends the unknown to the log-in, and turns the engine's refusals into pages."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), login_url=settings.LOGIN_URL)
    if not may_look(request):
        raise PermissionDenied("The console is for ML engineers, reviewers, leads and admins of a project.")
    try:
        return answer()
    except NotFound as error:
        raise Http404(error.message) from error
    except NoAccess as error:
        raise PermissionDenied(error.message) from error
