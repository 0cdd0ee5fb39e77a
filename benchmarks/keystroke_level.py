"""Hands that take as long as the keystroke-level model says: each operator is waited for, then done in a real browser.

Card, Moran & Newell, "The keystroke-level model for user performance time with interactive systems", CACM 23(7), 1980.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from playwright.sync_api import FloatRect, Locator, Page

CSS_PX_PER_CM = 96 / 2.54
POLL_MS = 30
PATIENCE_MS = 180_000
Device = Literal["keys", "mouse"]
Place = tuple[float, float]


class Operator(StrEnum):
    """What a person does, as the report names it."""

    KEY = "key"
    CLICK = "click"
    POINT = "point"
    HOME = "home"
    MENTAL = "mental"
    DRAW = "draw"


#: Key: an average skilled typist; a click is a key of the mouse. A stroke goes by its length (``draw_seconds``).
SECONDS = {
    Operator.KEY: 0.2,
    Operator.CLICK: 0.2,
    Operator.POINT: 1.1,
    Operator.HOME: 0.4,
    Operator.MENTAL: 1.35,
}


def draw_seconds(*, segments: int, length_px: float) -> float:
    """The model's drawing operator: 0.9 s a straight segment and 0.16 s a centimetre; a CSS pixel is 1/96 inch."""
    return 0.9 * segments + 0.16 * length_px / CSS_PX_PER_CM


@dataclass
class Tally:
    """What one task took."""

    actions: Counter[Operator] = field(default_factory=Counter)
    human_s: float = 0.0
    system_s: float = 0.0


class Hands:
    """One person at one page. What the person does is waited for and reckoned; what the page takes is measured."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.tally = Tally()
        self._at: Device = "keys"

    def begin(self, at: Device) -> None:
        """A new task; the hands lie where the way of working leaves them."""
        self.tally, self._at = Tally(), at

    def thinks(self, times: int = 1) -> None:
        for _ in range(times):
            self._spend(Operator.MENTAL)

    def presses(self, *keys: str) -> None:
        for key in keys:
            self._goes_to("keys")
            self._spend(Operator.KEY)
            self._does(lambda key=key: self.page.keyboard.press(key))

    def holds(self, key: str, *, seconds: float) -> None:
        """Down, a look of so many seconds that is the person's, and up."""
        self._goes_to("keys")
        self._spend(Operator.KEY)
        self._does(lambda: self.page.keyboard.down(key))
        self._waits(seconds)
        self._does(lambda: self.page.keyboard.up(key))

    def types(self, text: str) -> None:
        for letter in text:
            self._goes_to("keys")
            self._spend(Operator.KEY)
            self._does(lambda letter=letter: self.page.keyboard.type(letter))

    def clicks(self, what: Locator) -> None:
        self.clicks_at(middle(what))

    def clicks_at(self, place: Place) -> None:
        self._points(place)
        self._spend(Operator.CLICK)
        self._does(lambda: self.page.mouse.click(*place))

    def drags(self, start: Place, end: Place) -> None:
        """A straight stroke with the button down."""
        self._points(start)
        self._does(self.page.mouse.down)
        length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
        self.tally.actions[Operator.DRAW] += 1
        self._waits(draw_seconds(segments=1, length_px=length))
        self._does(lambda: self.page.mouse.move(*end, steps=8))
        self._does(self.page.mouse.up)

    def waits_for(self, expression: str, argument: object = None) -> None:
        """Until the page says so; the time is the system's."""
        self._does(
            lambda: self.page.wait_for_function(
                expression, arg=argument, polling=POLL_MS, timeout=PATIENCE_MS
            )
        )

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens within is nobody's: the script's own look at the page."""
        kept = self.tally
        self.tally = Tally()
        try:
            yield
        finally:
            self.tally = kept

    def _points(self, place: Place) -> None:
        self._goes_to("mouse")
        self._spend(Operator.POINT)
        self._does(lambda: self.page.mouse.move(*place, steps=4))

    def _goes_to(self, device: Device) -> None:
        if self._at != device:
            self._at = device
            self._spend(Operator.HOME)

    def _spend(self, operator: Operator) -> None:
        self.tally.actions[operator] += 1
        self._waits(SECONDS[operator])

    def _waits(self, seconds: float) -> None:
        self.tally.human_s += seconds
        self.page.wait_for_timeout(1000 * seconds)

    def _does(self, action: Callable[[], object]) -> None:
        begun = time.perf_counter()
        action()
        self.tally.system_s += time.perf_counter() - begun


def middle(what: Locator) -> Place:
    box: FloatRect | None = what.bounding_box(timeout=PATIENCE_MS)
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
