"""Freezes what a model may train on: a manifest by hash that no later judgement changes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from engine import blobs
from engine.errors import BadInput, NotFound
from engine.models import DatasetVersion, Project, Round
from engine.services.curation import Decision, Demonstration, PreferencePair, decide
from engine.services.evidence import Evidence, read_evidence
from engine.services.holding_back import HoldingBack, Kept, hold_back
from engine.states import DatasetStatus
from engine.transitions import Actor, record_creation, transition

MANIFEST_TYPE = "application/x-ndjson"


def freeze(*, project_id: int, alpha: float | None, actor: Actor) -> DatasetVersion:
    """Freezes D+ and the preference pairs of all judgements so far under ``alpha`` (default: the newest round's).

    What the project holds back (its brake, its audit set) is left out with its reason, and said in the manifest and
    in ``counts``. The same judgements give the same manifest, byte for byte. Raises BadInput ``nothing_to_freeze``,
    saying what is missing, when neither a demonstration nor a pair would be in it, and ``too_much_our_own`` when the
    brake refuses.
    """
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    newest_round = project.rounds.order_by("-number").first()
    if alpha is None:
        alpha = newest_round.alpha if newest_round else project.alpha
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"The bar alpha must lie between 0 and 1, not {alpha:g}.", code="bad_alpha")
    evidence = read_evidence(project_id)
    rules = held_back_by(project)
    kept = hold_back(decide(evidence.judgements, alpha=alpha), evidence.judgements, rules)
    decision = kept.decision
    if not decision.demonstrations and not decision.pairs:
        raise BadInput(_what_is_missing(evidence, alpha), code="nothing_to_freeze")
    audit = _lines(_demonstration_line(evidence, each, alpha) for each in kept.audit)
    audit_key = blobs.put(audit, suffix=".jsonl", content_type=MANIFEST_TYPE) if audit else ""
    held_back = _held_back(rules, kept, audit_key=audit_key)
    manifest = write_manifest(evidence, decision, alpha=alpha, held_back=held_back)
    key = blobs.put(manifest, suffix=".jsonl", content_type=MANIFEST_TYPE)
    with transaction.atomic():
        version = _draft(project, round=newest_round, alpha=alpha, actor=actor)
        transition(
            version,
            DatasetStatus.FROZEN,
            by=actor,
            changes={
                "manifest_key": key,
                "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
                "num_demonstrations": len(decision.demonstrations),
                "num_preference_pairs": len(decision.pairs),
                "counts": {
                    **count(evidence, decision),
                    **({"held_back": held_back} if rules.is_on else {}),
                },
                "exclusions": [
                    {"subject": exclusion.subject, "reason": exclusion.reason.value}
                    for exclusion in decision.exclusions
                ],
                "frozen_by_id": actor.user_id,
                "frozen_at": timezone.now(),
            },
        )
    return version


def held_back_by(project: Project) -> HoldingBack:
    """What the project's settings hold back from its versions."""
    return HoldingBack(
        least_foreign=project.least_foreign,
        brake=project.brake,
        audit_share=project.audit_share,
        salt=f"project {project.pk}",
    )


def write_manifest(
    evidence: Evidence, decision: Decision, *, alpha: float, held_back: dict[str, Any] | None = None
) -> bytes:
    """Canonical JSON lines: demonstrations by candidate, then pairs by chosen and rejected; blobs by key.

    A last line says what was held back, if anything is to be.
    """
    lines = [_demonstration_line(evidence, each, alpha) for each in decision.demonstrations]
    lines += [_pair_line(evidence, each) for each in decision.pairs]
    if held_back:
        lines.append({"kind": "held_back", "id": "held_back", "target": None, **held_back})
    return _lines(lines)


def _lines(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(
        json.dumps(line, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n" for line in lines
    )


def _held_back(rules: HoldingBack, kept: Kept, *, audit_key: str) -> dict[str, Any]:
    """For the manifest and the version's page; nothing when nothing is to be held back."""
    if not rules.is_on:
        return {}
    return {
        "least_foreign": rules.least_foreign,
        "brake": rules.brake,
        "own_offered": kept.num_own_offered,
        "own_kept": kept.num_own_kept,
        "foreign": kept.num_foreign,
        "audit_share": rules.audit_share,
        "num_audit": len(kept.audit),
        "audit_manifest": audit_key,
    }


def count(evidence: Evidence, decision: Decision) -> dict[str, Any]:
    """What is in the version, by label, source, rating, annotator, round, depth; and what it was decided from."""
    demonstrations = decision.demonstrations
    candidates = evidence.candidates
    labels = (candidates[each.candidate_id].target.label or "(no name)" for each in demonstrations)
    ratings = ("not rated" if each.rating is None else f"{each.rating:g}" for each in demonstrations)
    return {
        "labels": _tally(labels),
        "sources": _tally(each.source for each in demonstrations),
        "ratings": _tally(ratings),
        "annotators": _tally(
            evidence.usernames.get(each.annotator_id or 0, "(unknown)") for each in demonstrations
        ),
        "rounds": _tally(str(each.round or "none") for each in demonstrations),
        "point_maps": _tally(_depth_of(evidence, each.candidate_id) for each in demonstrations),
        "with_pose": sum(each.candidate_id in evidence.alignments for each in demonstrations),
        "pair_evidence": _tally(pair.evidence.value for pair in decision.pairs),
        "pair_annotators": _tally(
            evidence.usernames.get(pair.annotator_id or 0, "(unknown)") for pair in decision.pairs
        ),
        "judgements": {
            "picks": len(evidence.judgements.picks),
            "comparisons": sum(len(pick.pairs) for pick in evidence.judgements.picks),
            "artists_models": len(evidence.judgements.accepted),
            "alignments": len(evidence.alignments),
        },
    }


def _draft(project: Project, *, round: Round | None, alpha: float, actor: Actor) -> DatasetVersion:
    """The next number, taken under the project's lock."""
    Project.objects.select_for_update().get(pk=project.pk)
    newest = project.dataset_versions.aggregate(newest=Max("number"))["newest"] or 0
    version = DatasetVersion.objects.create(project=project, round=round, number=newest + 1, alpha=alpha)
    record_creation(version, by=actor)
    return version


def _demonstration_line(evidence: Evidence, demonstration: Demonstration, alpha: float) -> dict[str, Any]:
    candidate = evidence.candidates[demonstration.candidate_id]
    alignment = evidence.alignments.get(candidate.pk)
    return {
        "kind": "demonstration",
        "id": f"demonstration-{candidate.pk}",
        "candidate": candidate.pk,
        **_photograph(evidence, demonstration.candidate_id),
        "latents": candidate.latents_key or None,
        "mesh": candidate.mesh_key or None,
        "pose": alignment.pose if alignment else None,
        "rating": demonstration.rating,
        "source": demonstration.source,
        "round": demonstration.round,
        "alpha": alpha,
        "annotator": demonstration.annotator_id,
        "checkpoint": candidate.checkpoint.sha256 if candidate.checkpoint else None,
        "seed": candidate.seed,
    }


def _pair_line(evidence: Evidence, pair: PreferencePair) -> dict[str, Any]:
    chosen, rejected = evidence.candidates[pair.chosen], evidence.candidates[pair.rejected]
    return {
        "kind": "preference",
        "id": f"pair-{chosen.pk}-{rejected.pk}",
        **_photograph(evidence, pair.chosen),
        "chosen_target": chosen.target_id,  # the reader refuses a pair of two targets
        "rejected_target": rejected.target_id,
        "chosen_latents": chosen.latents_key or None,
        "chosen_mesh": chosen.mesh_key or None,
        "rejected_latents": rejected.latents_key or None,
        "rejected_mesh": rejected.mesh_key or None,
        "evidence": pair.evidence.value,
        "round": pair.round,
        "annotator": pair.annotator_id,
        "checkpoint": rejected.checkpoint.sha256 if rejected.checkpoint else None,
    }


def _depth_of(evidence: Evidence, candidate_id: int) -> str:
    point_map = evidence.point_maps.get(evidence.candidates[candidate_id].target.image_id)
    if point_map is None:
        return "none"
    return "estimated" if point_map.approximate else "measured"


def _photograph(evidence: Evidence, candidate_id: int) -> dict[str, Any]:
    target = evidence.candidates[candidate_id].target
    point_map = evidence.point_maps.get(target.image_id)
    return {
        "target": target.pk,
        "image": target.image.key,
        "mask": target.mask_key,
        "pointmap": point_map.key if point_map else None,
        "pointmap_approximate": bool(point_map and point_map.approximate),
    }


def _what_is_missing(evidence: Evidence, alpha: float) -> str:
    ratings = [pick.rating for pick in evidence.judgements.picks if pick.rating is not None]
    if not evidence.judgements.picks:
        picks = "there is no pick yet"
    elif not ratings:
        picks = f"all {len(evidence.judgements.picks)} picks said that none was good enough"
    else:
        picks = f"of {len(ratings)} rated winners none reaches {alpha:g} (the best has {max(ratings):g})"
    return (
        f"There is nothing to freeze: {picks}, no artist's model counts, and no preference pair holds. "
        "Collect picks, or lower alpha."
    )


def _tally(names: Iterable[str]) -> dict[str, int]:
    """Counts by name, in the order of the names, so that equal contents read equal."""
    return dict(sorted(Counter(names).items()))
