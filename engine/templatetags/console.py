"""How the console writes states, shares and small numbers."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from engine.ranking.intervals import Estimate

register = template.Library()

TONES = {
    "success": {
        "ACTIVE",
        "FIXED",
        "pass",
        "SUCCEEDED",
        "SERVING",
        "VERIFIED",
        "FROZEN",
        "READY",
        "DONE",
        "ACCEPTED",
        "better",
    },
    "danger": {"FAILED", "PAUSED", "REFUSED", "SENT_BACK", "refuse", "worse"},
    "accent": {"RUNNING", "OPEN", "LEASED", "SENT", "GENERATING"},
    "warning": {"wait", "WAITING", "QUEUED", "PENDING", "REGISTERED", "STAGED", "ESCALATED", "REWORK"},
}


@register.filter
def badge(status: object) -> SafeString:
    """The status as a badge whose colour repeats what its word says."""
    tone = next((tone for tone, statuses in TONES.items() if str(status) in statuses), "")
    return format_html('<span class="badge {}">{}</span>', tone, status)


@register.filter
def percent(share: float | None) -> str:
    """0.8333 as "83 %"; a dash when there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"


@register.filter
def estimate(value: Estimate | None) -> str:
    """A share with its interval, as in "83 % (71 to 91)"; a dash when there is none."""
    if value is None:
        return "–"
    return f"{100 * value.value:.0f} % ({100 * value.low:.0f} to {100 * value.high:.0f})"


@register.filter
def points(value: Estimate) -> str:
    """Elo with its interval, as in "1043 (1020 to 1066)"."""
    return f"{value.value:.0f} ({value.low:.0f} to {value.high:.0f})"


@register.filter
def number(value: float | None) -> str:
    """Four significant digits; a dash when there is none."""
    return "–" if value is None else f"{value:.4g}"


@register.filter
def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}".replace("-", "−")


@register.filter
def change(number: int) -> str:
    """A difference of counts with its sign; nothing where nothing changed."""
    return f"{number:+d}".replace("-", "−") if number else "="


@register.filter
def short(sha256: str | None) -> str:
    """The first ten digits of a hash."""
    return (sha256 or "–")[:10]
