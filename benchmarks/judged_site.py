"""A project with enough judgements, shapes and matches that the console's measuring pages measure all they can."""

from __future__ import annotations

import numpy as np

from engine.models import Project
from engine.selectors.bias import RECENT, undescribed
from engine.services.descriptors import NewDescriptor, store_descriptors
from tests import judged
from tests.db.test_arena import opened, vote_all
from training.metrics.descriptor import NUM_VALUES

SOURCES = ("candid8", "retrieval", "candid8", "retrieval")
NUM_TARGETS = RECENT
NUM_OVERLAPPING, NUM_HARD, NUM_MATCHES = 60, 40, 40


def judged_site(*, seed: int) -> Project:
    """As many accepted shapes as the bias page compares, overlapping picks and poses, hard cases, a voted arena."""
    rng = np.random.default_rng(seed)
    kitchen = judged.project()
    people = [judged.person(name) for name in ("ana", "bob", "cem")]
    made_by = judged.checkpoint()
    for number in range(NUM_TARGETS):
        batch = judged.batch(kitchen, sources=SOURCES, made_by=made_by)
        winner = int(rng.integers(len(SOURCES)))
        for person in people if number < NUM_OVERLAPPING else people[:1]:
            judged.pick(batch, by=person, winner=winner, ratings=(5, 4), pairs=[(0, 1, "left")])
            if number < NUM_OVERLAPPING:
                shape = judged.candidates(batch)[winner]
                judged.alignment(shape, by=person, scale=0.5 + 0.1 * float(rng.random()))
    for _ in range(NUM_HARD):
        batch = judged.batch(kitchen, made_by=made_by)
        judged.pick(batch, by=people[0], winner=None)
        judged.accepted_case(batch, by=people[1])
    rows = undescribed(version=1, limit=10 * NUM_TARGETS)
    store_descriptors(
        [NewDescriptor(candidate=row, values=tuple(rng.normal(size=NUM_VALUES))) for row in rows], version=1
    )
    better = judged.checkpoint("tuned", parent=made_by)
    opened(kitchen, (made_by, better), targets=NUM_MATCHES)
    vote_all(kitchen, new=better, win=0.6, seed=seed)
    return kitchen
