"""Guidelines as HTML: what authors may write, and that nothing they write runs or loads anything."""

from __future__ import annotations

import re

import pytest

from engine.markdown import render

PHOTOS = {7: "http://store/7.jpg?X-Amz-Signature=a&b=c"}

#: What people try; each must leave no script, no handler, no foreign address behind.
ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "![x](https://evil.example/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](//evil.example/pixel.png)",
    "![x](photo:99)",
    "![x](photo:7/../../etc)",
    '![x](photo:7 "a\\" onerror=alert(1)")',
    "[x]: javascript:alert(1)\n\n[x]",
    "<https://evil.example/><script>",
    "<style>body{display:none}</style>",
    '<p style="position:fixed">x</p>',
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    "<details open ontoggle=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "# <img src=x onerror=alert(1)>",
    '[a](https://a.example "x\\" onmouseover=alert(1) y=\\"")',
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_people_write_runs_or_loads_anything(attack: str) -> None:
    html = render(attack, photo_url=PHOTOS.get).html
    tags = re.findall(r"<([a-z0-9]+)((?:\s[^>]*)?)>", html)
    assert not {name for name, _ in tags} & {"script", "style", "iframe", "svg", "math", "form", "details"}, (
        html
    )
    for name, attributes in tags:
        bare = re.sub(r'"[^"]*"', '""', attributes)
        assert not re.search(r"\bon[a-z]+\s*=|\bstyle\s*=", bare), html
        address = re.search(r'\b(?:href|src)="([^"]*)"', attributes)
        if address:
            assert address[1].startswith(("https://", "http://")), html
        if name == "img":
            assert address is not None and address[1].startswith("http://store/7.jpg"), html


def test_a_photograph_of_the_project_is_shown_and_no_other_picture() -> None:
    html = render("![a mug](photo:7)\n\n![gone](photo:8)", photo_url=PHOTOS.get).html
    assert 'src="http://store/7.jpg?X-Amz-Signature=a&amp;b=c"' in html and 'alt="a mug"' in html
    assert html.count("<img") == 1 and "[gone]" in html


def test_links_open_elsewhere_and_give_nothing_away() -> None:
    html = render("[more](https://example.org/x)", photo_url=PHOTOS.get).html
    assert 'rel="noopener noreferrer"' in html and 'target="_blank"' in html


def test_headings_make_the_table_of_contents_one_level_below_the_page() -> None:
    shown = render("# Masks\n\ntext\n\n## *Thin* parts `x`\n", photo_url=PHOTOS.get)
    assert [(line.id, line.text, line.level) for line in shown.contents] == [
        ("guide-1", "Masks", 2),
        ("guide-2", "Thin parts x", 3),
    ]
    assert '<h2 id="guide-1">Masks</h2>' in shown.html and '<h3 id="guide-2">' in shown.html


def test_what_is_new_is_marked_and_what_is_gone_is_told() -> None:
    old = "# Rating\n\nShape first.\n\n- a 5 is exact\n- a 1 is wrong\n\nLook at the back."
    new = "# Rating\n\nShape first.\n\n- a 5 is exact\n- a 2 is poor\n\nTurn it once."
    shown = render(new, photo_url=PHOTOS.get, since=old)
    assert '<li class="is-new">a 2 is poor' in shown.html and '<p class="is-new">Turn it once.' in shown.html
    assert shown.html.count("is-new") == 2
    assert list(shown.removed) == ["a 1 is wrong", "Look at the back."]


def test_tables_and_lists_are_kept() -> None:
    html = render("| a | b |\n|---|---|\n| 1 | 2 |\n\n1. one\n2. two\n\n> said", photo_url=PHOTOS.get).html
    for tag in ("<table>", "<th>", "<td>", "<ol>", "<li>", "<blockquote>"):
        assert tag in html, html
