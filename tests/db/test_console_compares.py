"""What the console lays side by side: two dataset versions, a run and its clone, a checkpoint and its family."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from engine.errors import BadInput
from engine.models import Assignment, Checkpoint, DatasetVersion, Project, TrainingRun
from engine.selectors.dataset_diff import version_diff
from engine.selectors.family import family
from engine.selectors.runs import runs_ahead
from engine.services import checkpoints, datasets, runs
from engine.states import AssignmentStatus, Role
from engine.transitions import Actor
from tests import judged
from tests.db.test_console import as_person
from tests.web import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def me(kitchen: Project) -> Actor:
    return Actor(user_id=judged.person("mel", kitchen, Role.ML_ENGINEER).pk)


@pytest.fixture
def mel(me: Actor) -> Client:
    return as_person(judged.person("mel"))


def frozen(project: Project, me: Actor, *, alpha: float = 0.5) -> DatasetVersion:
    return datasets.freeze(project_id=project.pk, alpha=alpha, actor=me)


def diff_address(version: DatasetVersion, *, against: DatasetVersion | None = None) -> str:
    address = reverse("admin:console-dataset-diff", kwargs={"version_id": version.pk})
    return f"{address}?against={against.pk}" if against else address


def test_a_version_against_the_one_before_names_what_came_what_went_and_why(
    kitchen: Project, me: Actor, mel: Client
) -> None:
    ana, bob = judged.person("ana"), judged.person("bob")
    mug, chair = judged.batch(kitchen, label="mug"), judged.batch(kitchen, label="chair")
    taken_back = judged.pick(mug, by=ana, winner=0, ratings=(5, 5))
    judged.pick(chair, by=ana, winner=1, ratings=(3, 3))
    first = frozen(kitchen, me)
    judged.pick(judged.batch(kitchen, label="lamp"), by=bob, winner=2, ratings=(5, 4))
    Assignment.objects.filter(pk=taken_back.assignment_id).update(status=AssignmentStatus.RETRACTED)
    judged.pick(mug, by=bob, winner=1, ratings=(5, 5))
    second = frozen(kitchen, me, alpha=0.75)

    found = version_diff(first, second)
    mug_shapes, chair_shapes = judged.candidates(mug), judged.candidates(chair)
    assert {line["candidate"] for line in found.removed} >= {chair_shapes[1].pk}
    assert len(found.added) == second.num_demonstrations - len(found.changed) - found.num_kept
    turned = f"pair-{mug_shapes[1].pk}-{mug_shapes[0].pk}"
    assert turned in found.pairs_turned
    assert not {line["id"] for line in found.pairs_added} & set(found.pairs_turned)
    assert not found.is_same
    labels = next(counted for counted in found.counts if counted.key == "labels")
    assert {row.name: row.change for row in labels.rows} == {"chair": -1, "lamp": 1, "mug": 0}
    below = next(each for each in found.exclusions if each.reason == "below_alpha")
    assert (below.before, below.after, len(below.added)) == (0, 1, 1)

    page = mel.get(diff_address(second)).content.decode()
    assert "Dataset v2 against v1" in page and first.manifest_sha256 in page
    assert "The winner&#x27;s rating is below alpha." in page
    assert below.added[0] in page
    same = mel.get(diff_address(second, against=first)).content.decode()
    assert "Dataset v2 against v1" in same
    assert mel.get(diff_address(second) + "?against=99999").status_code == 404
    assert "no earlier frozen version" in mel.get(diff_address(first)).content.decode()


def test_equal_judgements_freeze_to_the_same_bytes_and_a_pose_is_a_change_of_one_line(
    kitchen: Project, me: Actor
) -> None:
    ana = judged.person("ana")
    batch = judged.batch(kitchen)
    judged.pick(batch, by=ana, winner=0, ratings=(5, 5))
    first, second = frozen(kitchen, me), frozen(kitchen, me)
    assert version_diff(first, second).is_same
    judged.alignment(judged.candidates(batch)[0], by=ana)
    (changed,) = version_diff(second, frozen(kitchen, me)).changed
    assert changed.fields == ("pose",)


def test_versions_of_two_projects_are_not_compared(kitchen: Project, me: Actor) -> None:
    garden = judged.project("garden")
    for project in (kitchen, garden):
        judged.pick(judged.batch(project), by=judged.person("ana"), winner=0)
    with pytest.raises(BadInput, match="same project"):
        version_diff(frozen(kitchen, me), frozen(garden, me))


def test_a_script_reads_the_same_difference_and_strangers_none(kitchen: Project, me: Actor) -> None:
    ana = judged.person("ana", kitchen, Role.ANNOTATOR)
    judged.pick(judged.batch(kitchen), by=ana, winner=0, ratings=(5, 5))
    first = frozen(kitchen, me)
    judged.pick(judged.batch(kitchen, label="lamp"), by=ana, winner=0, ratings=(5, 5))
    second = frozen(kitchen, me)
    script = Browser(judged.person("mel"))
    body = script.get(f"/dataset-versions/{second.pk}/diff?against={first.pk}").body
    assert (len(body["added"]), body["removed"], body["num_kept"]) == (1, [], 1)
    assert body["added"][0].startswith("demonstration-") and len(body["pairs_added"]) == 3
    assert (body["before"]["number"], body["after"]["number"], body["is_same"]) == (1, 2, False)
    assert script.get(f"/dataset-versions/{second.pk}/diff").status == 400
    assert (
        Browser(judged.person("eve")).get(f"/dataset-versions/{second.pk}/diff?against={first.pk}").status
        == 404
    )
    assert Browser(ana).get(f"/dataset-versions/{second.pk}/diff?against={first.pk}").status == 403
    assert script.get(f"/dataset-versions/{second.pk}").body["manifest_url"].split("?")[0].endswith(".jsonl")


def started(kitchen: Project, me: Actor, **changes: Any) -> TrainingRun:
    judged.pick(judged.batch(kitchen), by=judged.person("ana"), winner=0, ratings=(5, 5))
    base = judged.checkpoint("shipped")
    return runs.start_run(
        project_id=kitchen.pk,
        dataset_version_id=frozen(kitchen, me).pk,
        objective="sft",
        base_checkpoint_id=base.pk,
        seed=7,
        settings={"steps": 11, "learning_rate": 2e-4},
        actor=me,
        **changes,
    )


def test_a_clone_has_everything_of_its_run_but_what_was_changed(kitchen: Project, me: Actor) -> None:
    old = started(kitchen, me)
    runs.cancel_run(run_id=old.pk, actor=me)
    newer = frozen(kitchen, me)
    script = Browser(judged.person("mel"))
    reply = script.post(f"/runs/{old.pk}/clone", {"settings": {"steps": 5}, "dataset_version": newer.pk})
    assert reply.status == 201, reply
    clone = TrainingRun.objects.get(pk=reply.body["id"])
    assert clone.settings == {**old.settings, "steps": 5}
    assert (clone.seed, clone.objective, clone.base_checkpoint_id) == (7, "sft", old.base_checkpoint_id)
    assert (clone.dataset_version, clone.status, clone.total_steps) == (newer, "QUEUED", 5)
    old.refresh_from_db()
    assert (old.status, old.settings["steps"]) == ("CANCELLED", 11)
    assert script.post(f"/runs/{old.pk}/clone", {"settings": {"stepz": 5}}).code == "bad_settings"
    assert Browser(judged.person("eve")).post(f"/runs/{old.pk}/clone").status == 404


def test_the_console_offers_a_clone_as_a_form_with_the_runs_own_settings(
    kitchen: Project, me: Actor, mel: Client
) -> None:
    old = started(kitchen, me)
    newer = frozen(kitchen, me)
    page = mel.get(reverse("admin:console-run", kwargs={"run_id": old.pk})).content.decode()
    assert f"?clone={old.pk}#start-sft" in page and f"Clone on v{newer.number}" in page
    dataset = reverse("admin:console-dataset", kwargs={"version_id": newer.pk})
    form = mel.get(dataset, {"clone": old.pk}).content.decode()
    assert f'This is what <a href="/admin/console/runs/{old.pk}/">run {old.pk}</a> had.' in form
    assert 'name="steps" value="11"' in form and 'name="seed" value="7"' in form
    assert mel.get(dataset, {"clone": "99999"}).status_code == 404
    assert mel.get(dataset, {"clone": "x"}).status_code == 404


def test_a_queued_run_says_how_many_run_before_it(kitchen: Project, me: Actor, mel: Client) -> None:
    first = started(kitchen, me)
    second = runs.clone_run(run_id=first.pk, seed=8, settings={}, dataset_version_id=None, actor=me)
    assert (runs_ahead(first), runs_ahead(second)) == (0, 1)
    address = reverse("admin:console-run", kwargs={"run_id": second.pk})
    assert "waiting for 1 run before it" in mel.get(address).content.decode()
    runs.cancel_run(run_id=first.pk, actor=me)
    assert "waiting for a worker" in mel.get(address).content.decode()


def test_tensorboard_is_linked_where_the_operator_runs_one_and_explained_elsewhere(
    kitchen: Project, me: Actor, mel: Client
) -> None:
    address = reverse("admin:console-run", kwargs={"run_id": started(kitchen, me).pk})
    assert "python -m training.board --logdir" in mel.get(address).content.decode()
    with override_settings(TENSORBOARD_URL="http://board.example:6006"):
        page = mel.get(address).content.decode()
    assert "http://board.example:6006/?runFilter=%5E" in page and "--logdir" not in page


def test_a_family_shows_ancestors_and_relatives_with_the_runs_that_made_them(
    kitchen: Project, me: Actor, mel: Client
) -> None:
    base = judged.checkpoint("shipped")
    run = started(kitchen, me)
    runs.begin(run.pk)
    tuned = judged.checkpoint("tuned", parent=base)
    runs.succeed(run_id=run.pk, checkpoint_id=tuned.pk)
    sister, child = judged.checkpoint("sister", parent=base), judged.checkpoint("child", parent=tuned)
    judged.checkpoint("stranger")
    found = family(tuned.pk)
    assert [each.checkpoint for each in found.relatives] == [child, sister, tuned, base]
    assert [each.is_ancestor for each in found.relatives] == [False, False, True, True]
    assert {each.checkpoint.name: each.parent_row for each in found.relatives} == {
        "child": 2,
        "sister": 3,
        "tuned": 3,
        "shipped": None,
    }
    assert found.relatives[2].run == run
    page = mel.get(reverse("admin:console-checkpoint", kwargs={"checkpoint_id": tuned.pk})).content.decode()
    assert "sister" in page and "stranger" not in page and "SFT run" in page


def test_a_large_family_keeps_its_line_and_the_newest(kitchen: Project) -> None:
    line = [judged.checkpoint("first")]
    for number in range(5):
        line.append(judged.checkpoint(f"line {number}", parent=line[-1]))
    others = [judged.checkpoint(f"other {number}", parent=line[0]) for number in range(6)]
    found = family(line[-1].pk, most=2)
    shown = {each.checkpoint for each in found.relatives}
    assert shown == {*line, *others[-2:]} and found.num_more == 4


EXAMPLE = {
    "case": "best change",
    "family": "mug",
    "photo": "ab/abc.png",
    "truth": "ab/truth.glb",
    "parent": ["ab/p1.glb", "ab/p2.glb"],
    "checkpoint": ["ab/c1.glb", None],
    "parent_ious": [0.2, 0.3],
    "checkpoint_ious": [0.4, 0.0],
}


def test_examples_of_an_evaluation_stand_row_over_row(kitchen: Project, me: Actor, mel: Client) -> None:
    tuned = judged.checkpoint("tuned", parent=judged.checkpoint("shipped"))
    report = {"verdict": "no difference", "metrics": {}, "examples": [EXAMPLE]}
    checkpoints.record_evaluation(checkpoint_id=tuned.pk, evaluation=report)
    page = mel.get(reverse("admin:console-checkpoint", kwargs={"checkpoint_id": tuned.pk})).content.decode()
    assert "Best change" in page and "−0.0500" in page and "no surface" in page and "ab/p2.glb" in page

    script = Browser(judged.person("mel"))
    body = script.get(f"/checkpoints/{tuned.pk}").body
    (example,) = body["examples"]
    assert example["columns"] == 3
    assert [shape["label"] for shape in example["shapes"]] == [
        *("truth", "parent 1", "parent 2"),
        *("truth", "this 1", "this 2"),
    ]
    assert example["shapes"][5]["mesh_url"] == ""
    assert "examples" not in body["checkpoint"]["evaluation"]
    assert (body["ancestors"], body["children"], body["made_by_run"]) == (
        [Checkpoint.objects.get(name="shipped").pk],
        [],
        None,
    )
    assert script.get("/checkpoints/99999").status == 404


def test_a_stranger_to_every_project_reads_no_checkpoint(kitchen: Project) -> None:
    one = judged.checkpoint("shipped")
    assert Browser(judged.person("eve")).get(f"/checkpoints/{one.pk}").status == 403
