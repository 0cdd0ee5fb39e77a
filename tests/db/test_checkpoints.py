"""Checkpoints are registered by hash, serve only when verified, and come back by one roll-back."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import BadInput, EngineError, IllegalTransition
from engine.models import Checkpoint, Deployment, Job, StateChange
from engine.selectors import deployments
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
    checkpoints.record_swap_error(deployment_id=deployment.pk, detail="one byte is wrong")
    deployment.refresh_from_db()
    assert (deployment.swap_error, deployment.status) == ("one byte is wrong", DeploymentStatus.SERVING)


def test_the_evaluation_is_kept_with_the_checkpoint() -> None:
    checkpoint = judged.checkpoint()
    checkpoints.record_evaluation(checkpoint_id=checkpoint.pk, evaluation={"verdict": "better"})
    checkpoint.refresh_from_db()
    assert checkpoint.evaluation == {"verdict": "better"}
