"""Markdown that people wrote as HTML that may stand in a page: no HTML of theirs, no picture from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

#: ``![caption](photo:12)`` shows photograph 12 of the same project; there are no other pictures.
PHOTO = re.compile(r"photo:([1-9][0-9]{0,17})")
NEW = "is-new"
ANCHOR = re.compile(r"guide-[0-9]{1,4}")
TAGS = frozenset(
    {"a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol", "p", "pre"}
    | {"strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
)
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    **{tag: {"class"} for tag in ("p", "li", "pre", "code", "tr")},
    **{tag: {"id", "class"} for tag in ("h2", "h3", "h4", "h5", "h6")},
}
#: What counts as one statement when two versions are compared.
STATEMENTS = frozenset({"paragraph_open", "heading_open", "fence", "code_block", "tr_open"})


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A line of the table of contents; ``level`` is 2 or more."""

    id: str
    text: str
    level: int


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A guideline as a page shows it; ``removed`` are the statements of the older version that it lacks."""

    html: str
    contents: Sequence[Heading]
    removed: Sequence[str]


def render(markdown: str, *, photo_url: Callable[[int], str | None], since: str | None = None) -> Rendered:
    """The text as safe HTML. With ``since``, an older text, what is new in this one is marked.

    ``photo_url`` gives the address of a photograph of the project, or None; a picture without one leaves its caption.
    """
    tokens = _parser().parse(markdown)
    known = set(statements_of(since)) if since is not None else None
    contents: list[Heading] = []
    addresses: set[str] = set()
    lines = markdown.splitlines()
    for place, token in enumerate(tokens):
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"  # the page's own title is the only h1
        if token.type == "heading_open":
            contents.append(_heading(token, tokens[place + 1], number=len(contents)))
        if known is not None and token.type in STATEMENTS and _source(token, lines) not in known:
            # A short list's paragraphs are not written as such: the point itself is marked.
            (tokens[place - 1] if token.hidden else token).attrJoin("class", NEW)
        for child in token.children or []:
            if child.type == "image":
                _resolve(child, photo_url, addresses)
    return Rendered(
        html=_cleaned(_parser().renderer.render(tokens, _parser().options, {}), addresses),
        contents=contents,
        removed=[] if since is None else _removed(since, now=markdown),
    )


def statements_of(markdown: str) -> list[str]:
    """The text's paragraphs, headings, rows and blocks of code, as they were typed."""
    lines = markdown.splitlines()
    return [_source(token, lines) for token in _parser().parse(markdown) if token.type in STATEMENTS]


def _removed(since: str, *, now: str) -> list[str]:
    left = set(statements_of(now))
    return [said for said in statements_of(since) if said and said not in left]


def _parser() -> MarkdownIt:
    """CommonMark with tables; HTML in the text stays text, and javascript: or data: links are none."""
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _source(token: Token, lines: Sequence[str]) -> str:
    start, end = token.map or (0, 0)
    return " ".join(" ".join(lines[start:end]).split()).lstrip("-*+>#0123456789.| ").strip()


def _heading(token: Token, inline: Token, *, number: int) -> Heading:
    heading = Heading(
        id=f"guide-{number + 1}",
        text="".join(part.content for part in inline.children or [] if part.type in {"text", "code_inline"}),
        level=int(token.tag[1]),
    )
    token.attrSet("id", heading.id)
    return heading


def _resolve(image: Token, photo_url: Callable[[int], str | None], addresses: set[str]) -> None:
    found = PHOTO.fullmatch(str(image.attrGet("src") or ""))
    address = photo_url(int(found[1])) if found else None
    if address:
        addresses.add(address)
        image.attrSet("src", address)
    else:
        image.type, image.content, image.children = "text", f"[{image.content}]", None


def _cleaned(html: str, addresses: set[str]) -> str:
    """The second wall: whatever the first let through, only these tags and attributes are left."""

    def filtered(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "class":
            return NEW if value == NEW else None
        if attribute == "id":
            return value if ANCHOR.fullmatch(value) else None
        if tag == "img" and attribute == "src":
            return value if value in addresses else None
        return value

    return nh3.clean(
        html,
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=filtered,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
