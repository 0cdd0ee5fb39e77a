"""Reads a checkpoint's evaluation report, and its audits, into rows and one plain sentence each."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.selectors.audits import AUDITS, audits_of


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """A metric beside the parent's, with the 95 % interval of their difference."""

    name: str
    value: float | None
    parent: float | None
    difference: float | None
    low: float | None
    high: float | None
    higher_is_better: bool

    @property
    def finding(self) -> str:
        """better, worse, or unclear when the interval holds zero."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "unclear"
        return "better" if (self.low > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report for people; ``facts`` are its conditions, ``rest`` is what has no other place, as JSON text."""

    rows: tuple[MetricRow, ...]
    verdict: str
    facts: tuple[tuple[str, str], ...]
    rest: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A comparison with the parent on what version ``version_number`` of ``project`` held back."""

    rows: tuple[MetricRow, ...]
    verdict: str
    version_id: int
    version_number: int
    project: str
    num_objects: int
    samples_per_object: int
    audit_manifest: str
    at: datetime


def read_audits(evaluation: dict[str, Any] | None) -> tuple[Audit, ...]:
    """Newest first."""
    return tuple(_audit(each) for each in audits_of(evaluation))


def read_report(evaluation: dict[str, Any] | None) -> Report | None:
    """The report, or None before there is one; audits are not part of it."""
    evaluation = {name: each for name, each in (evaluation or {}).items() if name != AUDITS}
    if not evaluation:
        return None
    rows = _rows(evaluation.get("metrics"))
    said = evaluation.get("verdict")
    others = {key: value for key, value in evaluation.items() if key not in {"verdict", "examples"}}
    if rows:
        others.pop("metrics")
    facts = {key: value for key, value in others.items() if isinstance(value, str | int | float)}
    rest = {key: value for key, value in others.items() if key not in facts}
    return Report(
        rows=rows,
        verdict=said[:1].upper() + said[1:].rstrip(".") + "."
        if isinstance(said, str) and said
        else _verdict(rows),
        facts=tuple((key.replace("_", " "), str(value)) for key, value in facts.items()),
        rest=json.dumps(rest, indent=2, sort_keys=True) if rest else "",
    )


def _audit(each: dict[str, Any]) -> Audit:
    rows = _rows(each["metrics"])
    return Audit(
        rows=rows,
        verdict=_verdict(rows),
        version_id=each["version"],
        version_number=each["version_number"],
        project=each["project"],
        num_objects=each["num_objects"],
        samples_per_object=each["samples_per_object"],
        audit_manifest=each["audit_manifest"],
        at=datetime.fromisoformat(each["at"]),
    )


def _rows(metrics: object) -> tuple[MetricRow, ...]:
    if not isinstance(metrics, dict):
        return ()
    return tuple(
        _row(name, metrics[name]) for name in sorted(metrics, key=_rank) if isinstance(metrics[name], dict)
    )


def _rank(name: str) -> tuple[bool, str]:
    """Overlap first, which decides; the store does not keep the report's order."""
    return ("iou" not in name, name)


def _row(name: str, each: dict[str, Any]) -> MetricRow:
    return MetricRow(
        name=name.replace("_", " "),
        value=_number(each.get("value")),
        parent=_number(each.get("parent")),
        difference=_number(each.get("difference")),
        low=_number(each.get("low")),
        high=_number(each.get("high")),
        higher_is_better=bool(each.get("higher_is_better", True)),
    )


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]  # it is a number by now


def _verdict(rows: tuple[MetricRow, ...]) -> str:
    if not rows:
        return "The report holds no comparison with a parent."
    named = {
        finding: ", ".join(row.name for row in rows if row.finding == finding)
        for finding in ("better", "worse", "unclear")
    }
    if named["better"] and not named["worse"]:
        end = f"; no clear difference in {named['unclear']}" if named["unclear"] else ""
        return f"Better than its parent in {named['better']}{end}."
    if named["worse"] and not named["better"]:
        return f"Worse than its parent in {named['worse']}. Think twice before deploying it."
    if named["worse"]:
        return f"Mixed: better than its parent in {named['better']}, worse in {named['worse']}."
    return "No clear difference from its parent: every interval holds zero."
