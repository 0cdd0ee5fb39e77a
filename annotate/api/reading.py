"""Reads request bodies: size limits, strict JSON, serializers that refuse what they do not know."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from annotate.converters import BIGGEST_ID
from engine.errors import BadInput

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_PNG_BYTES = 8 * MEBIBYTE


def refuse_larger_body(*, length: int, limit: int) -> None:
    """Raises body_too_large when the declared ``length`` is over the ``limit``."""
    if length > limit:
        raise BadInput(
            f"The body is {length} bytes long; at most {limit} are taken here.", code="body_too_large"
        )


class LimitedJSONParser(JSONParser):
    """JSON of at most ``view.max_body_bytes`` bytes; anything that is not strict JSON is a ParseError."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        view, request = parser_context["view"], parser_context["request"]
        refuse_larger_body(length=int(request.META.get("CONTENT_LENGTH") or 0), limit=view.max_body_bytes)
        try:
            return super().parse(stream, media_type=media_type, parser_context=parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


class Body(serializers.Serializer[Any]):
    """A request's JSON object; a field that is not declared is refused with the names of those that are."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                known = ", ".join(self.fields) or "none"
                raise serializers.ValidationError(
                    {name: [f"Unknown field; known are: {known}."] for name in unknown}
                )
        return super().to_internal_value(data)


class FiniteFloat(serializers.FloatField):
    """A JSON number, neither text nor boolean, that a double can hold."""

    default_error_messages = {"not_finite": "Must be a finite number."}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool | str):
            self.fail("invalid")
        try:
            number = super().to_internal_value(data)
        except OverflowError:
            self.fail("not_finite")
        if not math.isfinite(number):
            self.fail("not_finite")
        return number


class Count(serializers.IntegerField):
    """A JSON whole number, neither text, fraction nor boolean, that fits the database's columns."""

    def __init__(self, *, min_value: int = 0, max_value: int = 2**31 - 1, **more: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **more)

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class RowIdField(Count):
    """The id of a row in a body."""

    def __init__(self, **more: Any) -> None:
        super().__init__(min_value=1, max_value=BIGGEST_ID, **more)


@extend_schema_field({"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"})
class PngField(serializers.Field[bytes, str, str, Any]):
    """A PNG file in base64; what is in it is the engine's question. Raises BadInput with the code bad_mask."""

    def to_internal_value(self, data: Any) -> bytes:
        if not isinstance(data, str):
            raise self._refusal("must be text, the base64 of a PNG file")
        if len(data) > MAX_PNG_BYTES * 4 // 3 + 4:
            raise BadInput(
                f"{self.field_name}: a mask file has at most {MAX_PNG_BYTES} bytes.", code="body_too_large"
            )
        try:
            png = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._refusal(
                "must be plain base64 of a PNG file, without a data: prefix or line breaks"
            ) from error
        if not png.startswith(PNG_MAGIC):
            raise self._refusal("is base64, but not of a PNG file")
        return png

    def to_representation(self, value: bytes) -> str:
        return base64.b64encode(value).decode("ascii")

    def _refusal(self, what: str) -> BadInput:
        return BadInput(f"{self.field_name} {what}.", code="bad_mask")


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonObject(serializers.Field[dict[str, Any], Any, Any, Any]):
    """Any JSON object that the database can store: finite numbers, no NUL characters, no half characters."""

    default_error_messages = {
        "not_an_object": "Must be a JSON object.",
        "not_storable": "Holds a number that is not finite, a NUL character or half a surrogate pair.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_an_object")
        if not is_storable(data):
            self.fail("not_storable")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


def is_storable(value: Any) -> bool:
    """Whether the database takes the JSON ``value``: it takes no NUL, no half surrogate pair, no infinite number."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode("utf-8")
    except (ValueError, RecursionError):
        return False
    return "\\u0000" not in text


def header_text(request: Any, name: str) -> str:
    """The header's value without white space around it, or an empty text."""
    return str(request.headers.get(name, "")).strip()


def row_id_parameter(request: Any, name: str) -> int | None:
    """A row's id from the address's query, or None when it is not given."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadInput(f"{name} must be a positive whole number, not {text[:40]!r}.")
    return int(text)
