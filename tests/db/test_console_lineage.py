"""From an example back to the photograph and its people, and on to the checkpoints that learnt from it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from engine.errors import NotFound
from engine.models import Round, TrainingRun
from engine.selectors.lineage import ancestry, offspring, target_lineage
from engine.selectors.quality import round_figures
from engine.services import checkpoints, datasets, runs
from engine.states import Role
from engine.transitions import Actor
from tests import judged

pytestmark = pytest.mark.django_db


def test_a_targets_story_leads_from_the_photograph_to_the_checkpoint_that_learnt_it() -> None:
    kitchen = judged.project()
    mel, ana = judged.person("mel", kitchen, Role.ML_ENGINEER), judged.person("ana")
    me = Actor(user_id=mel.pk)
    base = judged.checkpoint("shipped")
    checkpoints.deploy(checkpoint_id=base.pk, actor=me)
    batch = judged.batch(kitchen, label="mug", made_by=base)
    judged.pick(batch, by=ana, winner=2, ratings=(5, 4))
    winner = judged.candidates(batch)[2]
    judged.alignment(winner, by=ana)
    version = datasets.freeze(project_id=kitchen.pk, alpha=None, actor=me)
    run = runs.start_run(
        project_id=kitchen.pk,
        dataset_version_id=version.pk,
        objective="sft",
        base_checkpoint_id=None,
        seed=0,
        settings={},
        actor=me,
    )
    runs.begin(run.pk)
    tuned = judged.checkpoint("tuned", parent=base)
    runs.succeed(run_id=run.pk, checkpoint_id=tuned.pk)

    with CaptureQueriesContext(connection) as queries:
        story = target_lineage(batch.target_id)
    assert len(queries) <= 8
    assert (story.label, story.image_name) == ("mug", batch.target.image.name)
    made = next(candidate for candidate in story.candidates if candidate.id == winner.pk)
    assert (made.source, made.checkpoint_name, made.generation, made.seed) == (
        "candid8",
        "shipped",
        1,
        winner.seed,
    )
    (pick,) = story.picks
    assert (pick.annotator, pick.winner_id, pick.rating, pick.round, pick.alpha) == (
        "ana",
        winner.pk,
        0.875,
        1,
        0.5,
    )
    (pose,) = story.poses
    assert (pose.annotator, pose.candidate_id, pose.pose["scale"]) == ("ana", winner.pk, 0.5)
    (held,) = story.versions
    assert (held.number, held.demonstrations, held.num_pairs) == (1, (winner.pk,), 3)
    (learnt,) = held.runs
    assert (learnt.id, learnt.checkpoint_name) == (run.pk, "tuned")

    line = ancestry(tuned.pk)
    assert [ancestor.checkpoint for ancestor in line] == [tuned, base]
    assert [ancestor.run for ancestor in line] == [TrainingRun.objects.get(), None]
    fared = offspring(base.pk)
    assert (fared.num_candidates, fared.num_picked) == (4, 1)


def test_a_target_nobody_judged_has_a_short_story_and_an_unknown_one_none() -> None:
    batch = judged.batch(judged.project())
    story = target_lineage(batch.target_id)
    assert (len(story.candidates), story.picks, story.poses, story.versions) == (4, (), (), ())
    with pytest.raises(NotFound):
        target_lineage(0)
    assert ancestry(0) == ()


def test_a_rounds_figures_count_what_people_did_in_it() -> None:
    kitchen = judged.project(alpha=0.5)
    ana, bob = judged.person("ana"), judged.person("bob")
    judged.pick(judged.batch(kitchen), by=ana, winner=0, ratings=(5, 5))
    judged.pick(judged.batch(kitchen), by=ana, winner=0, ratings=(1, 2))
    judged.pick(judged.batch(kitchen), by=bob, winner=None)
    figures = round_figures(Round.objects.get(project=kitchen))
    assert (figures.picks.picks, figures.picks.escalated, figures.picks.passing) == (3, 1, 1)
    assert figures.picks.share == pytest.approx(1 / 3)
    assert [bar.rating for bar in figures.ratings if bar.num_picks] == [0.125, 1.0]
    assert [bar.passes for bar in figures.ratings].count(True) == 5
    assert [(person.username, person.picks, person.escalated) for person in figures.annotators] == [
        ("ana", 2, 0),
        ("bob", 1, 1),
    ]
