"""Settings from the environment: what cannot be meant is refused with what would be right."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from engine.settings import env


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""),
        ("http://127.0.0.1:6006/", "http://127.0.0.1:6006"),
        ("https://board.example/tb", "https://board.example/tb"),
    ],
)
def test_an_address_is_read_without_the_slash_at_its_end(
    monkeypatch: pytest.MonkeyPatch, given: str, read: str
) -> None:
    monkeypatch.setenv("TENSORBOARD_URL", given)
    assert env.web_address("TENSORBOARD_URL") == read


@pytest.mark.parametrize(
    "given", ["board.example:6006", "javascript:alert(1)", "http://", "ftp://board.example"]
)
def test_what_is_no_address_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("TENSORBOARD_URL", given)
    with pytest.raises(ImproperlyConfigured, match=r"TENSORBOARD_URL=.*such as http"):
        env.web_address("TENSORBOARD_URL")
