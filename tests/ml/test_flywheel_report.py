"""The flywheel's report: one bar for all rounds."""

from __future__ import annotations

import pytest

from training.reports.flywheel import accepted_at


def collected(*ratings: tuple[float, int], escalated: int = 0) -> dict[str, object]:
    """As the site says it: an answer without a winner is one of the picks."""
    picks = escalated + sum(number for _, number in ratings)
    return {
        "picks": {"picks": picks, "escalated": escalated},
        "ratings": [{"rating": rating, "num_picks": number} for rating, number in ratings],
    }


def test_a_target_that_nobody_found_good_counts_as_not_accepted() -> None:
    round_ = collected((0.25, 4), (0.5, 3), (0.875, 1), escalated=2)
    assert accepted_at(round_, 0.5) == pytest.approx(4 / 10)
    assert accepted_at(round_, 0.9) == 0


def test_a_round_without_an_answer_has_no_share() -> None:
    assert accepted_at(collected(), 0.5) is None
