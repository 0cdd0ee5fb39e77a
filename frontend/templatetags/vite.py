"""``{% vite_entry "work" %}``: script and style tags of one built page, from Vite's manifest, with the CSP nonce."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

from django import template
from django.conf import settings
from django.template import Context
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

MANIFEST = Path(__file__).resolve().parents[1] / "static" / "candid8" / "manifest.json"


class Chunk(TypedDict, total=False):
    file: str
    name: str
    isEntry: bool
    imports: list[str]
    css: list[str]


@register.simple_tag(takes_context=True)
def vite_entry(context: Context, name: str) -> SafeString:
    """Tags of the entry ``name``, as vite.config.ts has them. Raises TemplateSyntaxError on an unknown one."""
    if not MANIFEST.exists():
        return format_html(
            '<p class="notice" role="alert">{}</p>', "The front end is not built: run make install."
        )
    manifest = _read(MANIFEST.stat().st_mtime_ns)
    key = next((k for k, chunk in manifest.items() if chunk.get("isEntry") and _entry_name(k) == name), None)
    if key is None:
        raise template.TemplateSyntaxError(f"no built page is called {name!r}")
    nonce = getattr(context.get("request"), "csp_nonce", "")
    reached = _reached(manifest, key)
    styles = [css for chunk in reached for css in chunk.get("css", [])]
    scripts = [chunk["file"] for chunk in reached]
    styles += [file for file in scripts if file.endswith(".css")]
    entry, preloads = scripts[0], [file for file in scripts[1:] if file.endswith(".js")]
    tags = [format_html_join("\n", '<link rel="stylesheet" href="{}">', ((_url(file),) for file in styles))]
    tags.append(
        format_html_join(
            "\n",
            '<link rel="modulepreload" href="{}" nonce="{}">',
            ((_url(file), nonce) for file in preloads),
        )
    )
    if entry.endswith(".js"):
        tags.append(format_html('<script type="module" src="{}" nonce="{}"></script>', _url(entry), nonce))
    return SafeString("\n".join(tag for tag in tags if tag))


def _entry_name(key: str) -> str:
    return Path(key).stem


def _url(file: str) -> str:
    # Vite has put the content's hash into the name already; a second hash would load shared modules twice.
    return f"{settings.STATIC_URL}candid8/{file}"


def _reached(manifest: dict[str, Chunk], key: str) -> list[Chunk]:
    """The chunk and everything it imports statically, itself first."""
    keys = [key]
    for reached in keys:
        keys += [imported for imported in manifest[reached].get("imports", []) if imported not in keys]
    return [manifest[reached] for reached in keys]


@lru_cache(maxsize=1)
def _read(modified_ns: int) -> dict[str, Chunk]:
    """The manifest as of ``modified_ns``, which is only there so that a rebuild is seen without a restart."""
    manifest: dict[str, Chunk] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return manifest
