"""Reads everything people judged in a project, for curation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from engine.models import (
    Alignment,
    ArtistCase,
    Candidate,
    Comparison,
    PointMap,
    Selection,
)
from engine.selectors.judgements import counting
from engine.services.curation import (
    AcceptedModel,
    JudgedCandidate,
    Judgements,
    Outcome,
    Pick,
    ShownPair,
)
from engine.states import ArtistCaseStatus, PointMapStatus


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All judgements of a project, and the rows a manifest names, by id."""

    judgements: Judgements
    candidates: dict[int, Candidate]  # with target, image and checkpoint
    point_maps: dict[int, PointMap]  # those that are READY, by image
    alignments: dict[int, Alignment]  # the newest of each candidate
    usernames: dict[int, str]


def read_evidence(project_id: int) -> Evidence:
    """Everything judged in the project: six queries, however much there is."""
    # Selections first: a pick that arrives meanwhile is then missing as a whole, never in half.
    selections = list(
        counting(Selection.objects.filter(project_id=project_id))
        .select_related("assignment__annotator", "round", "batch")
        .order_by("pk")
    )
    comparisons = _comparisons(project_id)
    cases = list(
        ArtistCase.objects.filter(project_id=project_id, status=ArtistCaseStatus.ACCEPTED)
        .select_related("claimed_by")
        .order_by("pk")
    )
    judged = Selection.objects.filter(project_id=project_id).values("batch_id")
    candidates = {
        candidate.pk: candidate
        for candidate in Candidate.objects.filter(
            Q(batch_id__in=judged) | Q(pk__in=[case.candidate_id for case in cases]), project_id=project_id
        ).select_related("target__image", "target__taxonomy_entry", "checkpoint")
    }
    maps = PointMap.objects.filter(project_id=project_id, status=PointMapStatus.READY)
    aligned = counting(Alignment.objects.filter(project_id=project_id)).order_by("pk")
    people = [selection.assignment.annotator for selection in selections]
    people += [case.claimed_by for case in cases if case.claimed_by is not None]
    return Evidence(
        judgements=Judgements(
            candidates=tuple(
                JudgedCandidate(
                    id=candidate.pk,
                    target_id=candidate.target_id,
                    batch_id=candidate.batch_id,
                    source=candidate.source,
                )
                for candidate in candidates.values()
            ),
            picks=tuple(
                _pick(selection, comparisons.get(selection.assignment_id, ())) for selection in selections
            ),
            accepted=tuple(
                AcceptedModel(
                    case_id=case.pk,
                    target_id=case.target_id,
                    candidate_id=case.candidate_id,
                    artist_id=case.claimed_by_id,
                )
                for case in cases
                if case.candidate_id is not None
            ),
        ),
        candidates=candidates,
        point_maps={point_map.image_id: point_map for point_map in maps},
        alignments={alignment.candidate_id: alignment for alignment in aligned},
        usernames={person.pk: person.get_username() for person in people},
    )


def _comparisons(project_id: int) -> dict[int, Sequence[ShownPair]]:
    """By assignment."""
    found: dict[int, list[ShownPair]] = {}
    rows = counting(Comparison.objects.filter(project_id=project_id)).order_by("assignment_id", "order")
    for pk, assignment, left, right, outcome in rows.values_list(
        "pk", "assignment_id", "left_id", "right_id", "outcome"
    ):
        pair = ShownPair(id=pk, left=left, right=right, outcome=Outcome(outcome))
        found.setdefault(assignment, []).append(pair)
    return dict(found)


def _pick(selection: Selection, pairs: Sequence[ShownPair]) -> Pick:
    return Pick(
        id=selection.pk,
        target_id=selection.batch.target_id,
        batch_id=selection.batch_id,
        annotator_id=selection.assignment.annotator_id,
        round=selection.round.number if selection.round else None,
        winner=selection.winner_id,
        rating=selection.rating,
        none_because=selection.none_because,
        shown=_shown(selection, pairs),
        pairs=tuple(pairs),
    )


def _shown(selection: Selection, pairs: Sequence[ShownPair]) -> frozenset[int]:
    """What the person really saw: the whole grid, or in a king-of-the-hill those that came up or were looked into."""
    seen = {pair.left for pair in pairs} | {pair.right for pair in pairs}
    if selection.mode == Selection.Mode.GRID:
        seen |= {int(candidate) for candidate in selection.shown_order}
    else:
        seen |= {int(candidate) for candidate in selection.inspected}
    return frozenset(seen)
