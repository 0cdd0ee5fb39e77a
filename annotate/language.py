"""In which language an answer is written: the pages speak the browser's, the API and the console English."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language_from_request, override

#: Whose texts have no translation of ours: Django's own German must not stand between them.
ENGLISH_PATHS = ("/api/", "/admin/")


def page_language(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware: what the browser remembers or asks for; pages that know the person then follow their choice."""

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path.startswith(ENGLISH_PATHS):
            with override(settings.LANGUAGE_CODE):
                return get_response(request)
        with override(get_language_from_request(request)):
            response = get_response(request)
        patch_vary_headers(response, ["Accept-Language", "Cookie"])
        return response

    return answer
