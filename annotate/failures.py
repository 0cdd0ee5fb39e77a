"""Failures outside the API's views: a plain page for people, problem+json for addresses of the API."""

from __future__ import annotations

import logging
from http import HTTPStatus
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext

from annotate.api.problems import problem

log = logging.getLogger(__name__)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(
        request,
        HTTPStatus.BAD_REQUEST,
        "bad_request",
        gettext("The browser sent a request that makes no sense here."),
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(
        request, HTTPStatus.FORBIDDEN, "no_access", str(exception) or gettext("You may not do this here.")
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(
        request,
        HTTPStatus.NOT_FOUND,
        "not_found",
        gettext("There is nothing at this address, or you may not see it."),
    )


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = gettext(
        "The page was too old, or cookies are switched off. Load the page again and repeat what you did."
    )
    return _answer(request, HTTPStatus.FORBIDDEN, "csrf_failed", message)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django has logged the traceback by now; the number ties the person's report to the log."""
    number = uuid4().hex[:12]
    log.error("unexpected failure", extra={"failure": number, "path": request.path})
    message = gettext("Something went wrong on our side. The number of this failure is {number}.").format(
        number=number
    )
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", message)


def _answer(request: HttpRequest, status: HTTPStatus, code: str, message: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem(status=status, code=code, detail=message)
    context = {"title": gettext(status.phrase), "message": message}
    return render(request, "annotate/failure.html", context, status=status)
