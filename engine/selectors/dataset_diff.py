"""What changed from one frozen dataset version to another: demonstrations, pairs, counts and exclusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import BadInput
from engine.models import DatasetVersion
from engine.selectors.datasets import manifest_lines
from engine.states import DatasetStatus

Line = Mapping[str, Any]

#: How the counts of a version are called, in the order of its page.
COUNTED = (
    ("labels", "By class"),
    ("sources", "By source"),
    ("ratings", "By rating"),
    ("annotators", "By annotator"),
    ("point_maps", "By point map"),
    ("pair_evidence", "Pairs by evidence"),
)
#: Named on a line for the whole version, so that a change of it says nothing of the line.
OF_THE_VERSION = frozenset({"alpha"})


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One demonstration that both versions hold, with the fields that differ."""

    before: Line
    after: Line
    fields: tuple[str, ...]

    @property
    def id(self) -> str:
        return str(self.after["id"])


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How often something is in either version."""

    name: str
    before: int
    after: int

    @property
    def change(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, kw_only=True)
class Counted:
    """One table of counts, largest changes first."""

    key: str
    name: str
    rows: tuple[Tally, ...]


@dataclass(frozen=True, kw_only=True)
class ReasonChange:
    """How the exclusions for one reason changed, and whom that concerns."""

    reason: str
    before: int
    after: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VersionDiff:
    """From ``before`` to ``after``; ``turned`` pairs prefer now what they passed over then."""

    before: DatasetVersion
    after: DatasetVersion
    added: tuple[Line, ...]
    removed: tuple[Line, ...]
    changed: tuple[Changed, ...]
    num_kept: int
    pairs_added: tuple[Line, ...]
    pairs_removed: tuple[Line, ...]
    pairs_turned: tuple[str, ...]
    num_pairs_kept: int
    counts: tuple[Counted, ...]
    exclusions: tuple[ReasonChange, ...]

    @property
    def is_same(self) -> bool:
        """Byte for byte, which is what the hash says."""
        return self.before.manifest_sha256 == self.after.manifest_sha256


def version_diff(before: DatasetVersion, after: DatasetVersion) -> VersionDiff:
    """Compares two frozen versions of one project by their manifests; raises BadInput for any others."""
    if before.project_id != after.project_id:
        raise BadInput("Two versions of the same project can be compared, not of two projects.")
    for version in (before, after):
        if version.status != DatasetStatus.FROZEN:
            raise BadInput(f"Dataset v{version.number} is not frozen yet.", code="dataset_not_frozen")
    then, now = _by_id(before, "demonstration"), _by_id(after, "demonstration")
    pairs_then, pairs_now = _by_id(before, "preference"), _by_id(after, "preference")
    turned = frozenset(pair for pair in pairs_now if _turned(pair) in pairs_then)
    changed = tuple(
        Changed(before=then[key], after=now[key], fields=fields)
        for key in now
        if key in then and (fields := _differing(then[key], now[key]))
    )
    return VersionDiff(
        before=before,
        after=after,
        added=_only_in(now, then),
        removed=_only_in(then, now),
        changed=changed,
        num_kept=len(then.keys() & now.keys()) - len(changed),
        pairs_added=tuple(line for line in _only_in(pairs_now, pairs_then) if line["id"] not in turned),
        pairs_removed=tuple(
            line for line in _only_in(pairs_then, pairs_now) if _turned(line["id"]) not in turned
        ),
        pairs_turned=tuple(sorted(turned)),
        num_pairs_kept=len(pairs_then.keys() & pairs_now.keys()),
        counts=tuple(
            Counted(key=key, name=name, rows=_tallies(before.counts.get(key, {}), after.counts.get(key, {})))
            for key, name in COUNTED
        ),
        exclusions=_reasons(before.exclusions, after.exclusions),
    )


def _by_id(version: DatasetVersion, kind: str) -> dict[str, Line]:
    return {line["id"]: line for line in manifest_lines(version.manifest_key) if line["kind"] == kind}


def _only_in(these: Mapping[str, Line], others: Mapping[str, Line]) -> tuple[Line, ...]:
    return tuple(line for key, line in these.items() if key not in others)


def _differing(before: Line, after: Line) -> tuple[str, ...]:
    names = sorted((before.keys() | after.keys()) - OF_THE_VERSION)
    return tuple(name for name in names if before.get(name) != after.get(name))


def _turned(pair: str) -> str:
    """The id of the pair with its halves exchanged."""
    kind, chosen, rejected = pair.split("-")
    return f"{kind}-{rejected}-{chosen}"


def _tallies(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Tally, ...]:
    rows = (
        Tally(name=name, before=before.get(name, 0), after=after.get(name, 0))
        for name in before.keys() | after.keys()
    )
    return tuple(sorted(rows, key=lambda row: (-abs(row.change), -row.after, row.name)))


def _reasons(
    before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]]
) -> tuple[ReasonChange, ...]:
    then, now = _left_out(before), _left_out(after)
    numbers_then, numbers_now = (Counter(each["reason"] for each in listed) for listed in (before, after))
    return tuple(
        ReasonChange(
            reason=reason,
            before=numbers_then[reason],
            after=numbers_now[reason],
            added=tuple(sorted(subject for each, subject in now - then if each == reason)),
            removed=tuple(sorted(subject for each, subject in then - now if each == reason)),
        )
        for reason in sorted(numbers_then.keys() | numbers_now.keys())
    )


def _left_out(exclusions: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(each["reason"], each["subject"]) for each in exclusions}
