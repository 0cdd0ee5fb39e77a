"""One browser window, and everything that went wrong in it: no console error and no refused request may go unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, ViewportSize
from playwright.sync_api import Error as PlaywrightError

from tests.running_site import PROJECT, RunningSite

VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
SHOTS = PROJECT / ".candid8" / "shots"
#: What is shown of a body; enough to know which request it was.
SHOWN_CHARS = 600

# What a software renderer says of itself, and the console's echo of answers that are told in full below.
HARMLESS = re.compile(
    r"GPU stall due to ReadPixels|GL Driver Message|Too many active WebGL contexts"
    r"|Failed to load resource: the server responded with a status of"
)


@contextmanager
def visit(
    browser: Browser, site: RunningSite, *, expected: Sequence[str] = (), expected_console: Sequence[str] = ()
) -> Iterator[Page]:
    """A fresh visitor's page. Afterwards no console error, uncaught exception or answer of 400 and more may have been.

    ``expected`` are patterns of answers that the test provokes, as in ``"400 POST .*/upload"``, and
    ``expected_console`` of errors on the console.
    """
    context = browser.new_context(base_url=site.url, viewport=VIEWPORT)
    page = context.new_page()
    faults: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        is_provoked = any(re.search(pattern, message.text) for pattern in expected_console)
        if message.type == "error" and not is_provoked and not HARMLESS.search(message.text):
            faults.append(f"console: {message.text}")

    def on_response(response: Response) -> None:
        answer = f"{response.status} {response.request.method} {response.url}"
        if response.status >= 400 and not any(re.match(pattern, answer) for pattern in expected):
            faults.append(f"{answer}\n  sent: {_sent(response)}\n  answered: {_answered(response)}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
    page.on("response", on_response)
    try:
        yield page
    finally:
        context.close()
    assert not faults, "\n".join(faults)


def shot(page: Page | Locator, name: str) -> None:
    """Save the screen, or a part of it, as `.candid8/shots/NAME.png`, for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def _sent(response: Response) -> str:
    return (response.request.post_data or "nothing")[:SHOWN_CHARS]


def _answered(response: Response) -> str:
    try:
        return response.text()[:SHOWN_CHARS]
    except PlaywrightError as error:  # the page has gone elsewhere by now
        return f"cannot be read any more ({error.message.splitlines()[0]})"
