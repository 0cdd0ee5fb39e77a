"""Every failure as RFC 9457 problem+json: the one table from the engine's codes to HTTP statuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.core.exceptions import PermissionDenied, RequestDataTooBig, TooManyFieldsSent
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework import exceptions

from engine.errors import (
    BadInput,
    BlobMissing,
    EngineError,
    IllegalTransition,
    LeaseLost,
    NoAccess,
    NotFound,
    StaleTransition,
    StoreUnavailable,
)

log = logging.getLogger(__name__)

#: Codes that say more than their kind does.
STATUS_OF_CODE: Mapping[str, HTTPStatus] = {
    "image_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "mesh_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "point_map_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "draft_conflict": HTTPStatus.PRECONDITION_FAILED,
    "draft_version_missing": HTTPStatus.PRECONDITION_REQUIRED,
    "idempotency_conflict": HTTPStatus.CONFLICT,
    "gate_not_passed": HTTPStatus.CONFLICT,
}

STATUS_OF_KIND: Mapping[type[EngineError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    NoAccess: HTTPStatus.FORBIDDEN,
    LeaseLost: HTTPStatus.CONFLICT,
    StaleTransition: HTTPStatus.CONFLICT,
    IllegalTransition: HTTPStatus.CONFLICT,
    BadInput: HTTPStatus.BAD_REQUEST,
    BlobMissing: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

RETRY_AFTER_S = 5


def problem(
    *, status: HTTPStatus, code: str, detail: str, errors: Mapping[str, list[str]] | None = None
) -> HttpResponse:
    """The answer to a request that failed; ``code`` is stable, ``detail`` is for the person."""
    body = {
        "type": f"urn:candid8:problem:{code}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
    }
    body["code"] = code
    if errors:
        body["errors"] = dict(errors)
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Cookie realm="candid8", form-action="/login"'
    return JsonResponse(body, status=status, content_type="application/problem+json", headers=headers)


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """What Django REST framework calls with every exception of a view."""
    match error:
        case StoreUnavailable():
            # Its own message names addresses of ours.
            log.warning("the store does not answer", exc_info=error)
            detail = "The store does not answer at the moment. Nothing was changed; try again shortly."
            return problem(status=HTTPStatus.SERVICE_UNAVAILABLE, code=error.code, detail=detail)
        case EngineError():
            errors = {name: [str(text)] for name, text in error.detail.get("errors", {}).items()}
            return problem(status=status_of(error), code=error.code, detail=error.message, errors=errors)
        case exceptions.ValidationError():
            errors = flattened(error.detail)
            return problem(
                status=HTTPStatus.BAD_REQUEST, code="bad_request", detail=_summary(errors), errors=errors
            )
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            detail = "Log in first: this needs the session cookie of a person."
            return problem(status=HTTPStatus.UNAUTHORIZED, code="not_authenticated", detail=detail)
        case exceptions.PermissionDenied() if str(error.detail).startswith("CSRF"):
            detail = f"{error.detail} Send the CSRF token of the page as the header X-CSRFToken."
            return problem(status=HTTPStatus.FORBIDDEN, code="csrf_failed", detail=detail)
        case exceptions.MethodNotAllowed():
            answer = problem(
                status=HTTPStatus.METHOD_NOT_ALLOWED, code="method_not_allowed", detail=str(error.detail)
            )
            answer["Allow"] = ", ".join(context["view"].allowed_methods)
            return answer
        case exceptions.ParseError():
            return problem(status=HTTPStatus.BAD_REQUEST, code="bad_request", detail=str(error.detail))
        case exceptions.APIException():
            code = str(error.default_code)
            return problem(status=HTTPStatus(error.status_code), code=code, detail=str(error.detail))
        case Http404():
            return problem(
                status=HTTPStatus.NOT_FOUND, code="not_found", detail="There is nothing at this address."
            )
        case PermissionDenied():
            detail = str(error) or "You may not do this."
            return problem(status=HTTPStatus.FORBIDDEN, code="no_access", detail=detail)
        case RequestDataTooBig() | TooManyFieldsSent():
            return problem(
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code="body_too_large", detail=str(error)
            )
        case _:
            return _unexpected(error, context)


def status_of(error: EngineError) -> HTTPStatus:
    """The HTTP status of an engine error: by its code, else by its kind, else by whether trying again may help."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    for kind, status in STATUS_OF_KIND.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.CONFLICT if error.permanent else HTTPStatus.SERVICE_UNAVAILABLE


def flattened(detail: Any, *, path: str = "") -> dict[str, list[str]]:
    """DRF's nested messages as ``{"result.targets.0.label": [...]}``."""
    if isinstance(detail, dict):
        return {
            key: messages
            for name, part in detail.items()
            for key, messages in flattened(part, path=_joined(path, str(name))).items()
        }
    if isinstance(detail, list) and any(isinstance(part, dict | list) for part in detail):
        return {
            key: messages
            for index, part in enumerate(detail)
            for key, messages in flattened(part, path=_joined(path, str(index))).items()
        }
    return {path or "body": [str(message) for message in (detail if isinstance(detail, list) else [detail])]}


def _joined(path: str, name: str) -> str:
    if name == "non_field_errors":
        return path
    return f"{path}.{name}" if path else name


def _summary(errors: Mapping[str, list[str]]) -> str:
    if not errors:
        return "The request is malformed."
    field, messages = next(iter(errors.items()))
    rest = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{field}: {messages[0]}{rest}"


def _unexpected(error: Exception, context: dict[str, Any]) -> HttpResponse:
    number = uuid4().hex[:12]
    view = type(context["view"]).__name__
    log.error("unexpected failure in the API", exc_info=error, extra={"failure": number, "view": view})
    detail = f"Something went wrong on our side. The number of this failure is {number}."
    return problem(status=HTTPStatus.INTERNAL_SERVER_ERROR, code="internal_error", detail=detail)
