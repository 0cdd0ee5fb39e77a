"""Checkpoints are registered by hash, serve only when verified, and come back by one roll-back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.errors import BadInput, EngineError, IllegalTransition, NotFound
from engine.models import Checkpoint, DatasetVersion, Deployment, Job, StateChange, WorkerSwap
from engine.selectors import deployments
from engine.selectors.audits import audits_of
from engine.services import checkpoints
from engine.states import CheckpointStatus, DeploymentStatus
from engine.transitions import Actor
from tests import judged
from tests.listening import listening_to

pytestmark = pytest.mark.django_db
SHA = "a" * 64


@pytest.fixture
def mel() -> Actor:
    return Actor(user_id=judged.person("mel").pk)


def register(actor: Actor, sha256: str = SHA, **changes: Any) -> Checkpoint:
    arguments: dict[str, Any] = {
        "weights_key": "aa/weights.safetensors",
        "manifest": {"preset": "tiny"},
        "name": "first",
        "parent_id": None,
        "run_id": None,
    }
    return checkpoints.register(sha256=sha256, actor=actor, **(arguments | changes))


def test_the_same_weights_are_one_checkpoint_and_one_verification(mel: Actor) -> None:
    first, again = register(mel), register(mel)
    assert first == again
    assert (first.preset, first.status) == ("tiny", CheckpointStatus.REGISTERED)
    job = Job.objects.get(kind="verify_checkpoint")
    assert job.payload == {"checkpoint_id": first.pk}
    assert StateChange.objects.filter(model="checkpoint", new="REGISTERED").count() == 1


@pytest.mark.parametrize("changes", [{"sha256": "short"}, {"sha256": "A" * 64}, {"manifest": {}}])
def test_a_malformed_registration_is_refused(mel: Actor, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        register(mel, **changes)
    assert not Checkpoint.objects.exists()


def test_only_a_verified_checkpoint_may_serve(mel: Actor) -> None:
    checkpoint = register(mel)
    with pytest.raises(EngineError) as refusal:
        checkpoints.deploy(checkpoint_id=checkpoint.pk, actor=mel)
    assert refusal.value.code == "not_verified"
    assert not Deployment.objects.exists()

    checkpoints.refuse(checkpoint_id=checkpoint.pk, detail="the golden outputs differ")
    checkpoint.refresh_from_db()
    assert (checkpoint.status, checkpoint.detail) == (
        CheckpointStatus.REFUSED,
        "the golden outputs differ",
    )
    with pytest.raises(IllegalTransition):
        checkpoints.verify(checkpoint_id=checkpoint.pk, actor=mel)


def test_verifying_twice_and_refusing_what_is_verified_change_nothing(mel: Actor) -> None:
    checkpoint = register(mel)
    checkpoints.verify(checkpoint_id=checkpoint.pk, actor=mel)
    checkpoints.verify(checkpoint_id=checkpoint.pk, actor=mel)
    checkpoints.refuse(checkpoint_id=checkpoint.pk, detail="too late")
    checkpoint.refresh_from_db()
    assert checkpoint.status == CheckpointStatus.VERIFIED
    assert StateChange.objects.filter(model="checkpoint").count() == 2


def test_promoting_retires_what_served_and_counts_the_generation_up(
    mel: Actor, django_capture_on_commit_callbacks: Any
) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    checkpoints.deploy(checkpoint_id=old.pk, actor=mel)
    with listening_to(None) as heard:
        with django_capture_on_commit_callbacks(execute=True):
            deployment = checkpoints.deploy(checkpoint_id=new.pk, actor=mel)
        told = heard.all()

    serving = deployments.serving()
    assert serving == deployment and serving.checkpoint == new and serving.generation == 2
    assert serving.deployed_by_id == mel.user_id
    assert list(deployments.history().values_list("generation", "status")) == [
        (2, DeploymentStatus.SERVING),
        (1, DeploymentStatus.RETIRED),
    ]
    moves = StateChange.objects.filter(model="deployment", object_id=deployment.pk).order_by("id")
    assert list(moves.values_list("old", "new", "actor")) == [
        ("", "STAGED", mel.user_id),
        ("STAGED", "SERVING", mel.user_id),
    ]
    assert {
        "type": "deployment.changed",
        "id": str(deployment.pk),
        "status": "SERVING",
        "generation": 2,
    } in told


def test_deploying_what_serves_already_is_refused(mel: Actor) -> None:
    checkpoint = judged.checkpoint()
    checkpoints.deploy(checkpoint_id=checkpoint.pk, actor=mel)
    with pytest.raises(EngineError) as refusal:
        checkpoints.deploy(checkpoint_id=checkpoint.pk, actor=mel)
    assert refusal.value.code == "already_serving"
    assert Deployment.objects.count() == 1


def test_a_roll_back_is_a_new_generation_of_what_served_before(mel: Actor) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    checkpoints.deploy(checkpoint_id=old.pk, actor=mel)
    with pytest.raises(EngineError) as refusal:
        checkpoints.rollback(actor=mel)
    assert refusal.value.code == "nothing_to_roll_back"
    checkpoints.deploy(checkpoint_id=new.pk, actor=mel)

    back = checkpoints.rollback(actor=mel)

    assert (back.checkpoint, back.generation, back.status) == (old, 3, DeploymentStatus.SERVING)
    assert (
        "generation 1" in StateChange.objects.get(model="deployment", object_id=back.pk, new="SERVING").reason
    )


def test_a_swap_error_is_kept_beside_the_deployment_that_goes_on_serving(mel: Actor) -> None:
    deployment = checkpoints.deploy(checkpoint_id=judged.checkpoint().pk, actor=mel)
    checkpoints.record_swap(
        deployment_id=deployment.pk, worker="gpu/7", seconds=0.5, error="one byte is wrong"
    )
    deployment.refresh_from_db()
    assert (deployment.swap_error, deployment.status) == ("one byte is wrong", DeploymentStatus.SERVING)
    checkpoints.record_swap(deployment_id=deployment.pk, worker="gpu/7", seconds=1.5)
    deployment.refresh_from_db()
    swap = deployment.swaps.get()
    assert (deployment.swap_error, swap.error, swap.seconds, swap.worker) == ("", "", 1.5, "gpu/7")


def test_only_the_newest_swaps_of_a_process_and_in_all_are_kept(mel: Actor) -> None:
    rows = [
        checkpoints.deploy(checkpoint_id=judged.checkpoint(f"number {number}").pk, actor=mel)
        for number in range(6)
    ]
    for row in rows:
        checkpoints.record_swap(deployment_id=row.pk, worker="gpu/7", seconds=1.0)
    assert [swap.deployment for swap in deployments.last_swaps()] == rows[:1:-1]
    for number in range(checkpoints.SWAPS_KEPT + 3):
        checkpoints.record_swap(deployment_id=rows[-1].pk, worker=f"gpu/{number + 100}", seconds=1.0)
    assert WorkerSwap.objects.count() == checkpoints.SWAPS_KEPT
    assert not WorkerSwap.objects.filter(worker__in=["gpu/7", "gpu/102"]).exists()


def test_a_canary_stands_beside_what_serves_with_a_share_that_can_be_changed(mel: Actor) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    serving = checkpoints.deploy(checkpoint_id=old.pk, actor=mel)

    canary = checkpoints.stage_canary(checkpoint_id=new.pk, share=0.1, actor=mel)
    checkpoints.set_canary_share(deployment_id=canary.pk, share=0.25, actor=mel)

    now = deployments.deployed()
    assert (now.serving, now.canary) == (serving, canary)
    assert now.canary is not None and (now.canary.canary_share, now.canary.generation) == (0.25, 2)
    assert moves_of(canary) == [("", "STAGED"), ("STAGED", "CANARY"), ("CANARY", "CANARY")]
    told = StateChange.objects.filter(model="deployment", object_id=canary.pk).latest("id")
    assert (told.reason, told.actor_id) == ("0.25 of the batches, 0.1 before", mel.user_id)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_or_all_of_the_batches_is_refused(mel: Actor, share: float) -> None:
    checkpoints.deploy(checkpoint_id=judged.checkpoint("old").pk, actor=mel)
    with pytest.raises(BadInput) as refusal:
        checkpoints.stage_canary(checkpoint_id=judged.checkpoint("new").pk, share=share, actor=mel)
    assert refusal.value.code == "bad_share"
    assert Deployment.objects.count() == 1


def test_a_canary_needs_something_to_stand_beside_a_verified_checkpoint_and_its_place(mel: Actor) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")

    def refused(checkpoint: Checkpoint) -> str:
        with pytest.raises(EngineError) as refusal:
            checkpoints.stage_canary(checkpoint_id=checkpoint.pk, share=0.1, actor=mel)
        return refusal.value.code

    assert refused(new) == "nothing_serves"
    serving = checkpoints.deploy(checkpoint_id=old.pk, actor=mel)
    assert refused(old) == "already_serving"
    assert refused(judged.checkpoint("raw", status=CheckpointStatus.REGISTERED)) == "not_verified"
    checkpoints.stage_canary(checkpoint_id=new.pk, share=0.1, actor=mel)
    assert refused(judged.checkpoint("third")) == "canary_exists"
    for verb in (checkpoints.promote_canary, checkpoints.abandon_canary):
        with pytest.raises(EngineError) as refusal:
            verb(deployment_id=serving.pk, actor=mel)
        assert refusal.value.code == "not_a_canary"


def test_a_promoted_canary_keeps_its_generation_and_a_roll_back_knows_what_served_before(mel: Actor) -> None:
    old, new, other = (judged.checkpoint(name) for name in ("old", "new", "other"))
    checkpoints.deploy(checkpoint_id=old.pk, actor=mel)
    canary = checkpoints.stage_canary(checkpoint_id=new.pk, share=0.1, actor=mel)
    third = checkpoints.deploy(checkpoint_id=other.pk, actor=mel)

    promoted = checkpoints.promote_canary(deployment_id=canary.pk, actor=mel)

    assert (promoted.pk, promoted.generation, promoted.status) == (canary.pk, 2, DeploymentStatus.SERVING)
    assert (promoted.canary_share, deployments.deployed().canary) == (0.0, None)
    assert moves_of(canary) == [("", "STAGED"), ("STAGED", "CANARY"), ("CANARY", "SERVING")]
    third.refresh_from_db()
    assert third.status == DeploymentStatus.RETIRED
    assert deployments.previously_serving() == third, "not the highest generation, but the last that served"
    back = checkpoints.rollback(actor=mel)
    assert (back.checkpoint, back.generation) == (other, 4)


def test_an_abandoned_canary_never_served_and_no_roll_back_brings_it(mel: Actor) -> None:
    old, new, bad = (judged.checkpoint(name) for name in ("old", "new", "bad"))
    checkpoints.deploy(checkpoint_id=old.pk, actor=mel)
    canary = checkpoints.stage_canary(checkpoint_id=bad.pk, share=0.5, actor=mel)
    checkpoints.abandon_canary(deployment_id=canary.pk, actor=mel, reason="holes")
    checkpoints.deploy(checkpoint_id=new.pk, actor=mel)
    canary.refresh_from_db()
    assert (canary.status, canary.canary_share, canary.serving_since) == ("RETIRED", 0.0, None)
    assert StateChange.objects.filter(object_id=canary.pk, model="deployment").latest("id").reason == "holes"
    assert checkpoints.rollback(actor=mel).checkpoint == old


def test_deploying_the_canarys_checkpoint_promotes_it(mel: Actor) -> None:
    checkpoints.deploy(checkpoint_id=judged.checkpoint("old").pk, actor=mel)
    new = judged.checkpoint("new")
    canary = checkpoints.stage_canary(checkpoint_id=new.pk, share=0.1, actor=mel)
    assert checkpoints.deploy(checkpoint_id=new.pk, actor=mel).pk == canary.pk
    assert Deployment.objects.count() == 2


def test_the_batches_of_a_canary_are_always_the_same_and_more_with_a_larger_share(mel: Actor) -> None:
    checkpoints.deploy(checkpoint_id=judged.checkpoint("old").pk, actor=mel)
    canary = checkpoints.stage_canary(checkpoint_id=judged.checkpoint("new").pk, share=0.2, actor=mel)

    def chosen() -> set[int]:
        return {pk for pk in range(1, 4001) if deployments.belongs_to_canary(pk, canary=canary)}

    few = chosen()
    assert few == chosen()
    assert len(few) / 4000 == pytest.approx(0.2, abs=0.03)
    canary.canary_share = 0.6
    many = chosen()
    assert few < many and len(many) / 4000 == pytest.approx(0.6, abs=0.03)
    canary.generation += 1
    assert len(chosen() & many) / len(many) == pytest.approx(0.6, abs=0.04)


def moves_of(deployment: Deployment) -> list[tuple[str, str]]:
    moves = StateChange.objects.filter(model="deployment", object_id=deployment.pk).order_by("id")
    return list(moves.values_list("old", "new"))


def test_the_evaluation_is_kept_with_the_checkpoint() -> None:
    checkpoint = judged.checkpoint()
    checkpoints.record_evaluation(checkpoint_id=checkpoint.pk, evaluation={"verdict": "better"})
    checkpoint.refresh_from_db()
    assert checkpoint.evaluation == {"verdict": "better"}


MEASURED = {
    "audit_manifest": "ab" * 32,
    "num_objects": 6,
    "samples_per_object": 8,
    "metrics": {
        "volume_iou_mean": {
            "value": 0.31,
            "parent": 0.28,
            "difference": 0.03,
            "low": 0.01,
            "high": 0.05,
            "higher_is_better": True,
        }
    },
}


def test_audits_are_added_one_after_the_other_and_outlive_a_new_evaluation() -> None:
    checkpoint, version = judged.checkpoint(), judged_version()
    auditor = Actor(name="evaluate_audit")
    for num_objects, day in ((6, 1), (7, 2)):
        checkpoints.record_audit(
            checkpoint_id=checkpoint.pk,
            version_id=version.pk,
            report={**MEASURED, "num_objects": num_objects},
            at=datetime(2026, 3, day, 12, tzinfo=UTC),
            actor=auditor,
        )
    checkpoints.record_evaluation(checkpoint_id=checkpoint.pk, evaluation={"verdict": "better"})
    checkpoint.refresh_from_db()
    assert checkpoint.evaluation is not None and checkpoint.evaluation["verdict"] == "better"
    told = [(each["num_objects"], each["at"], each["version"]) for each in audits_of(checkpoint.evaluation)]
    assert told == [
        (7, "2026-03-02T12:00:00+00:00", version.pk),
        (6, "2026-03-01T12:00:00+00:00", version.pk),
    ]
    remarks = StateChange.objects.filter(model="checkpoint", object_id=checkpoint.pk)
    assert [(one.actor_name, one.old == one.new) for one in remarks] == [("evaluate_audit", True)] * 2
    assert f"v{version.number} of Kitchen" in remarks[0].reason
    with pytest.raises(NotFound, match="dataset version"):
        checkpoints.record_audit(
            checkpoint_id=checkpoint.pk,
            version_id=version.pk + 1,
            report=MEASURED,
            at=datetime(2026, 3, 3, tzinfo=UTC),
            actor=auditor,
        )


def judged_version() -> DatasetVersion:
    kitchen = judged.project()
    return DatasetVersion.objects.create(project=kitchen, number=3, alpha=0.5)
