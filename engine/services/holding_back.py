"""What a dataset version holds back: human-made shapes for auditing, and our own model's beyond the brake. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from engine.errors import BadInput
from engine.services.curation import (
    ARTIST,
    NONE_GOOD,
    OUR_MODEL,
    Decision,
    Demonstration,
    Exclusion,
    Judgements,
    Reason,
)

CAP, REFUSE = "cap", "refuse"


@dataclass(frozen=True, kw_only=True)
class HoldingBack:
    """``least_foreign`` of the demonstrations are not our own model's; ``audit_share`` of hard targets is never seen.

    ``brake`` says what happens to a version that is too much our own: "cap" leaves the least rated of our own out,
    "refuse" makes none. ``salt`` fixes which targets are audited: the project's.
    """

    least_foreign: float = 0.0
    brake: str = CAP
    audit_share: float = 0.0
    salt: str = ""

    @property
    def is_on(self) -> bool:
        return self.least_foreign > 0 or self.audit_share > 0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is left to train on, the audit set, and how hard the brake held."""

    decision: Decision
    audit: tuple[Demonstration, ...]
    num_own_offered: int
    num_own_kept: int
    num_foreign: int


def hold_back(decision: Decision, judgements: Judgements, rules: HoldingBack) -> Kept:
    """The decision without what is held back, each with its reason among the exclusions.

    The same judgements and rules hold the same back. Raises BadInput ``too_much_our_own`` when the brake refuses, or
    when nothing but our own model's demonstrations is there.
    """
    audited = audited_targets(judgements, rules)
    left_out = [
        *(
            _of_demonstration(each, Reason.AUDIT)
            for each in decision.demonstrations
            if each.target_id in audited
        ),
        *(
            Exclusion(subject=f"pair {pair.chosen}>{pair.rejected}", reason=Reason.AUDIT)
            for pair in decision.pairs
            if pair.target_id in audited
        ),
    ]
    seen = [each for each in decision.demonstrations if each.target_id not in audited]
    own = [each for each in seen if each.source == OUR_MODEL]
    num_foreign = len(seen) - len(own)
    kept = _braked(own, num_foreign=num_foreign, rules=rules)
    left_out += [_of_demonstration(each, Reason.BRAKE) for each in own if each not in kept]
    return Kept(
        decision=replace(
            decision,
            demonstrations=tuple(each for each in seen if each.source != OUR_MODEL or each in kept),
            pairs=tuple(pair for pair in decision.pairs if pair.target_id not in audited),
            exclusions=tuple(sorted({*decision.exclusions, *left_out})),
        ),
        audit=tuple(
            each for each in decision.demonstrations if each.target_id in audited and each.source == ARTIST
        ),
        num_own_offered=len(own),
        num_own_kept=len(kept),
        num_foreign=num_foreign,
    )


def audited_targets(judgements: Judgements, rules: HoldingBack) -> frozenset[int]:
    """Targets nobody could solve by picking, a share of them by hash: known before an artist has modelled them.

    A target whose winner somebody rated may have been trained on before: it is none. Stable as judgements come in.
    """
    hard = {model.target_id for model in judgements.accepted}
    hard |= {
        pick.target_id for pick in judgements.picks if pick.winner is None and pick.none_because == NONE_GOOD
    }
    solved = {pick.target_id for pick in judgements.picks if pick.winner is not None}
    return frozenset(target for target in hard - solved if _place(rules.salt, target) < rules.audit_share)


def _braked(
    own: Sequence[Demonstration], *, num_foreign: int, rules: HoldingBack
) -> Collection[Demonstration]:
    """Those of our own that stay: the best rated, of equals by hash."""
    if rules.least_foreign <= 0 or not own:
        return own
    allowed = int(num_foreign * (1 - rules.least_foreign) / rules.least_foreign + 1e-9)
    if len(own) <= allowed:
        return own
    if rules.brake == REFUSE or not num_foreign:
        raise BadInput(
            f"Of {len(own) + num_foreign} demonstrations {num_foreign} are not our own model's, and the project asks "
            f"for {100 * rules.least_foreign:g} %: collect more by artists or other sources, or loosen the brake.",
            code="too_much_our_own",
        )
    order = sorted(own, key=lambda each: (-(each.rating or 0.0), _place(rules.salt, each.candidate_id)))
    return frozenset(order[:allowed])


def _of_demonstration(each: Demonstration, reason: Reason) -> Exclusion:
    return Exclusion(subject=f"demonstration {each.candidate_id}", reason=reason)


def _place(salt: str, number: int) -> float:
    """Where the row lies in [0, 1), by a hash that nobody chooses."""
    digest = hashlib.sha256(f"{salt}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
