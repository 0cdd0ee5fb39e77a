"""The pages that the server writes say everything in German too, and what gettext reads is what people edit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import polib
import pytest
from django.core.management import call_command

from engine.states import Role

ANNOTATE = Path(__file__).resolve().parents[2] / "annotate"
COMPILED = ANNOTATE / "locale" / "de" / "LC_MESSAGES" / "django.mo"
#: What a failure's page is called.
FAILURES = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)

TRANSLATED = re.compile(r"""\{% translate "([^"]*)" %\}""")
TAG = re.compile(r"\{[%{#].*?[%}#]\}|<[^>]*>|&\w+;", re.DOTALL)


@pytest.fixture(scope="module")
def german() -> polib.POFile:
    return polib.pofile(str(COMPILED.with_suffix(".po")))


def templates() -> Iterator[str]:
    return (path.read_text(encoding="utf-8") for path in sorted((ANNOTATE / "templates").rglob("*.html")))


def said_in_code(path: Path) -> Iterator[str]:
    """The texts that stand written out in calls of gettext."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="gettext"), args=[ast.Constant(value=str(text))]):
                yield text


def all_said() -> set[str]:
    in_templates = {text for template in templates() for text in TRANSLATED.findall(template)}
    in_code = {text for path in ANNOTATE.rglob("*.py") for text in said_in_code(path)}
    by_name = {str(role.label) for role in Role} | {status.phrase for status in FAILURES}
    return in_templates | in_code | by_name


def test_the_catalogue_has_every_text_of_the_servers_pages_and_no_other(german: polib.POFile) -> None:
    entries = {entry.msgid: entry.msgstr for entry in german}
    said = all_said()
    assert len(said) > 20
    assert set(entries) == said
    assert all(entries.values()) and not [entry for entry in german if entry.fuzzy]


def test_the_values_in_a_text_are_the_same_in_german(german: polib.POFile) -> None:
    for entry in german:
        assert re.findall(r"\{\w+\}", entry.msgid) == re.findall(r"\{\w+\}", entry.msgstr), entry.msgid


def test_the_compiled_catalogue_is_the_one_that_people_edit(tmp_path: Path) -> None:
    call_command("compile_texts", file=tmp_path / "django.mo", verbosity=0)
    assert (tmp_path / "django.mo").read_bytes() == COMPILED.read_bytes(), "make generate"


def test_no_template_says_a_word_past_the_catalogue() -> None:
    for template in templates():
        bare = TAG.sub(" ", template)
        assert set(re.findall(r"[A-Za-z]{2,}", bare)) <= {"Candid"}, bare
        shown = re.findall(r"""(?:aria-label|title|placeholder|alt)="([^"{]+)""", template)
        assert shown == []
