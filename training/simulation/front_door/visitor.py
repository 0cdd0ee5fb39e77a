"""A script's session at a running site: logs in by the page's own form, then speaks the HTTP interface."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

from urllib3 import encode_multipart_formdata

API = "/api/v1"
PATIENCE_S = 120.0
FORM_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')

File = tuple[str, bytes, str]  # name, content, media type


class SiteRefused(Exception):
    """The site answered with a problem: ``status`` and ``code`` for scripts, the text for people."""

    def __init__(self, *, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code = status, code


class Visitor:
    """One logged-in account. Raises SiteRefused for whatever the site refuses, the log-in included."""

    def __init__(self, url: str, *, name: str, password: str) -> None:
        self.url, self.name = url.rstrip("/"), name
        self._cookies = CookieJar()
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(self._cookies))
        self._log_in(password)

    def get(self, path: str) -> Any:
        """The JSON at ``path`` of the interface."""
        return self._ask("GET", API + path)[1]

    def post(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        """The JSON that the site answers with; None when there is none (204)."""
        return self.answer_to(path, body, **headers)[1]

    def answer_to(
        self, path: str, body: Mapping[str, Any] | None = None, **headers: str
    ) -> tuple[Mapping[str, str], Any]:
        """Headers and JSON of the answer to a POST; underscores in names of ``headers`` are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body or {}).encode()
        return self._ask("POST", API + path, data, {"Content-Type": "application/json", **named})

    def upload(self, path: str, **fields: str | File) -> Any:
        """The JSON that answers a form with files."""
        body, content_type = encode_multipart_formdata(dict(fields))
        return self._ask("POST", API + path, body, {"Content-Type": content_type})[1]

    def fetch(self, url: str) -> bytes:
        """The bytes at a presigned address, asked for without this session's cookies."""
        with build_opener().open(url, timeout=PATIENCE_S) as reply:
            content: bytes = reply.read()
            return content

    def _log_in(self, password: str) -> None:
        with self._opener.open(f"{self.url}/login", timeout=PATIENCE_S) as reply:
            found = FORM_TOKEN.search(reply.read().decode())
        token = found[1] if found else ""
        form = {"username": self.name, "password": password, "csrfmiddlewaretoken": token, "next": "/"}
        request = Request(f"{self.url}/login", urlencode(form).encode(), {"Referer": f"{self.url}/login"})
        with self._opener.open(request, timeout=PATIENCE_S) as reply:
            if reply.url.rstrip("/").endswith("/login"):
                raise SiteRefused(status=403, code="not_logged_in", detail=f"{self.name} could not log in")

    def _ask(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Mapping[str, str], Any]:
        own = {"Accept": "application/json", "Referer": self.url, "X-CSRFToken": self._csrf_token()}
        request = Request(self.url + path, data, {**own, **(headers or {})}, method=method)
        try:
            with self._opener.open(request, timeout=PATIENCE_S) as reply:
                text = reply.read()
                return dict(reply.headers), json.loads(text) if text else None
        except HTTPError as error:
            raise _refusal(error) from error

    def _csrf_token(self) -> str:
        return next((str(cookie.value) for cookie in self._cookies if cookie.name == "csrftoken"), "")


def _refusal(error: HTTPError) -> SiteRefused:
    text = error.read().decode(errors="replace")
    try:
        problem = json.loads(text)
        return SiteRefused(status=error.code, code=problem["code"], detail=problem["detail"])
    except (ValueError, KeyError, TypeError):
        return SiteRefused(status=error.code, code="unknown", detail=text[:300])
