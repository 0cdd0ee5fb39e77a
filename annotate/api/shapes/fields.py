"""Fields whose exact JSON type the schema should tell."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.api.reading import FiniteFloat

#: A row's id written as text, as the keys of a JSON object are.
ANY_ROW_ID = re.compile(r"[1-9][0-9]{0,17}")
#: No coordinate of a scene is larger, in whatever unit.
FARTHEST = 1e6


@extend_schema_field({"type": "string", "contentMediaType": "application/octet-stream"})
class FormFile(serializers.FileField):
    """A file of a form."""


class _Given(serializers.Field[Any, Any, Any, Any]):
    """A value that is already JSON."""

    def to_representation(self, value: Any) -> Any:
        return value


def Literal(*values: str, **more: Any) -> serializers.Field[Any, Any, Any, Any]:
    """A text that is one of ``values``, without a component of its own."""

    @extend_schema_field({"type": "string", "enum": list(values)})
    class OneOf(_Given):
        def to_representation(self, value: Any) -> str:
            return str(value)

    return OneOf(**more)


def numbers(length: int, help_text: str, **more: Any) -> serializers.Field[Any, Any, Any, Any]:
    """A list of exactly ``length`` numbers."""

    @extend_schema_field(_tuple_of_numbers(length))
    class Numbers(_Given):
        pass

    return Numbers(help_text=help_text, **more)


def exactly(length: int, help_text: str, **more: Any) -> serializers.Field[Any, Any, Any, Any]:
    """Reads a list of exactly ``length`` finite numbers into a tuple."""

    @extend_schema_field(_tuple_of_numbers(length))
    class Exactly(serializers.ListField):
        child = FiniteFloat(min_value=-FARTHEST, max_value=FARTHEST)

        def to_internal_value(self, data: Any) -> Any:
            return tuple(super().to_internal_value(data))

    return Exactly(min_length=length, max_length=length, help_text=help_text, **more)


def _tuple_of_numbers(length: int) -> dict[str, Any]:
    return {
        "type": "array",
        "prefixItems": [{"type": "number"}] * length,
        "items": {"type": "number"},
        "minItems": length,
        "maxItems": length,
    }
