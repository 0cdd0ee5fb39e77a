"""Takes files from forms: declared and real sizes are limited, and the limit is in the refusal."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.http.multipartparser import MultiPartParserError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser

from annotate.api.reading import MEBIBYTE, refuse_larger_body
from engine.errors import BadInput


class LimitedMultiPartParser(MultiPartParser):
    """A form of at most ``view.max_body_bytes`` bytes, refused before the first file is read."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        view, request = parser_context["view"], parser_context["request"]
        refuse_larger_body(length=int(request.META.get("CONTENT_LENGTH") or 0), limit=view.max_body_bytes)
        try:
            return super().parse(stream, media_type=media_type, parser_context=parser_context)
        except (MultiPartParserError, RequestDataTooBig, ValueError) as error:
            raise ParseError(f"The form is malformed: {error}") from error


def read_file(file: UploadedFile[bytes], *, limit: int, what: str, code: str) -> bytes:
    """The file's bytes; raises BadInput with ``code`` when there are more than ``limit``."""
    if file.size is None or file.size > limit:
        raise BadInput(f"{what} may have at most {limit // MEBIBYTE} MiB; {file.name} is larger.", code=code)
    return bytes(file.read())
