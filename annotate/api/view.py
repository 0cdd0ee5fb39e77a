"""What every view of the API shares: who asks, how a body is read, how an operation is described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from annotate.api.reading import KIBIBYTE
from annotate.api.shapes.problem import Problem
from engine.transitions import Actor

PROBLEM = {("default", "application/problem+json"): Problem}


class ApiView(APIView):
    """A view that parses, makes one call of the engine, and presents what came of it."""

    #: More is refused before it is read.
    max_body_bytes = 256 * KIBIBYTE

    @property
    def user(self) -> AbstractBaseUser:
        """The person of the session."""
        assert isinstance(self.request.user, AbstractBaseUser), "IsAuthenticated stands before every view"
        return self.request.user

    @property
    def user_id(self) -> int:
        return int(self.user.pk)

    @property
    def actor(self) -> Actor:
        return Actor(user_id=self.user_id, name=self.user.get_username())


def read(request: Request, body: type[BaseSerializer[Any]]) -> dict[str, Any]:
    """The validated body, or a problem that names each wrong field."""
    serializer = body(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def present(shape: type[BaseSerializer[Any]], value: Any, *, status: int = 200) -> Response:
    return Response(shape(value).data, status=status)


def operation(
    name: str,
    *,
    answer: Any,
    body: Any = None,
    status: int = 200,
    also: Mapping[int, Any] | None = None,
    headers: tuple[OpenApiParameter, ...] = (),
) -> Callable[[Any], Any]:
    """Describes a view's method for docs/openapi.yaml; its docstring is the description."""
    tag = name.partition(".")[0]
    return extend_schema(
        operation_id=name.replace(".", "_"),
        tags=[tag],
        request=body,
        responses={status: answer, **(also or {}), **PROBLEM},
        parameters=list(headers),
    )
