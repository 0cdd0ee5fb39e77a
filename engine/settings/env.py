"""Typed readers of the environment that refuse what they do not understand; NAME_FILE serves for secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def text(name: str, default: str | None = None) -> str:
    """The value of ``name``, or the content of the file that ``name``_FILE points to, or ``default``."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE={path} cannot be read: {error}") from error
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(
            f"{name} is not set. `make up` sets it; on a host of your own see .env.example."
        )
    return value


def web_address(name: str) -> str:
    """An http:// or https:// address without a slash at its end; empty when it is not set."""
    value = text(name, "").rstrip("/")
    if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
        raise ImproperlyConfigured(f"{name}={value!r} must be an address such as http://127.0.0.1:6006")
    return value


def both_or_neither(one: str, other: str) -> tuple[str, str]:
    """The values of two names that mean something only together; two empty texts when neither is set."""
    values = text(one, ""), text(other, "")
    if bool(values[0]) != bool(values[1]):
        raise ImproperlyConfigured(f"Set {one} and {other} together, or neither.")
    return values


def boolean(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value in TRUE or value in FALSE:
        return value in TRUE
    raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false")


def integer(name: str, *, default: int) -> int:
    value = text(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number") from error


def words(name: str, *, default: str) -> list[str]:
    return [word for word in text(name, default).replace(",", " ").split() if word]


def database(name: str) -> dict[str, Any]:
    """Django's settings for a URL like postgresql://user:password@host:5432/name?host=/socket/folder&sslmode=require."""
    url = urlsplit(text(name))
    if url.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured(f"{name} must be a postgresql:// URL, not {url.scheme}://")
    options: dict[str, Any] = dict(parse_qsl(url.query))
    host = options.pop("host", None) or url.hostname or ""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.lstrip("/"),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": host,
        "PORT": str(url.port or options.pop("port", "")),
        "OPTIONS": options,
    }


def redis_urls(name: str) -> tuple[str, str]:
    """(URL for redis-py and channels, URL for Celery) of unix:///path?db=0 or redis://host:port/0."""
    value = text(name)
    url = urlsplit(value)
    if url.scheme == "unix":
        number = dict(parse_qsl(url.query)).get("db", "0")
        return value, f"redis+socket://{url.path}?virtual_host={number}"
    if url.scheme in {"redis", "rediss"}:
        return value, value
    raise ImproperlyConfigured(f"{name} must begin with unix://, redis:// or rediss://, not {value!r}")
