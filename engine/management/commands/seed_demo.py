"""Fills a fresh installation: serving checkpoint, demo project, people, photographs; changes nothing later."""

from __future__ import annotations

import os
import secrets
import tomllib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from engine.management.checkpoint_folders import registered
from engine.management.demo_photographs import DemoPhotograph, demo_photographs
from engine.models import GuidelineVersion, Image, Project, Selection, TargetObject
from engine.selectors import deployments
from engine.services import candidates, checkpoints, guidelines, images, projects, rounds
from engine.states import CheckpointStatus, Role, Stage, TargetStatus
from engine.transitions import Actor, transition

SEED = Actor(name="seed")
SLUG = "demo"
ACCOUNTS = "demo_accounts.txt"
GUIDELINES = Path(settings.ROOT) / "fixtures" / "guidelines"
GOOD_FROM = 4  # the mark from which on an example is one to follow
PEOPLE = {
    "ana": Role.ANNOTATOR,
    "art": Role.ARTIST,
    "rev": Role.REVIEWER,
    "lea": Role.LEAD,
    "mel": Role.ML_ENGINEER,
    "admin": Role.ADMIN,
}
CONSOLE_ROLES = frozenset({Role.REVIEWER, Role.LEAD, Role.ML_ENGINEER, Role.ADMIN})
#: Confirmed at the first start, so that candidates are generated and stage 2 has work from the first minute on.
CONFIRMED_AT_START = ("soap box", "book", "pack of socks")
TAXONOMY = (
    *(
        "bag",
        "ball",
        "basket",
        "bicycle",
        "bird",
        "book",
        "bottle",
        "bowl",
        "box",
        "bus",
        "can",
        "car",
        "cat",
    ),
    *(
        "chair",
        "clock",
        "cow",
        "cup",
        "desk",
        "dog",
        "fruit",
        "hat",
        "horse",
        "jar",
        "kettle",
        "keyboard",
        "lamp",
    ),
    *(
        "motorcycle",
        "mug",
        "pan",
        "plant",
        "plate",
        "rocket",
        "scissors",
        "shoe",
        "sofa",
        "spoon",
        "suitcase",
    ),
    *("table", "telephone", "tool", "toy", "train", "truck", "vase"),
)


class Command(BaseCommand):
    help = "Fill a fresh installation with the demo project; safe to run at every start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-generation", action="store_true", help="Confirm no targets, so that no model runs."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._deploy_shipped_checkpoint()
        project = self._project()
        self._people(project)
        self._guidelines(project)
        self._examples(project)
        confirm = not options["no_generation"] and deployments.serving() is not None
        for photograph in demo_photographs(Path(settings.ROOT) / "fixtures" / "SOURCES.toml"):
            self._photograph(project, photograph, confirm=confirm)

    def _deploy_shipped_checkpoint(self) -> None:
        folder = Path(settings.SHIPPED_CHECKPOINT)
        if not (folder / "manifest.json").exists():
            self.stderr.write(f"no checkpoint in {folder}: nothing will generate until one is deployed")
            return
        if deployments.serving() is not None:
            return
        checkpoint = registered(folder, actor=SEED)
        if checkpoint.status == CheckpointStatus.REGISTERED:
            checkpoints.verify(checkpoint_id=checkpoint.pk, actor=SEED)
        deployment = checkpoints.deploy(checkpoint_id=checkpoint.pk, actor=SEED)
        self.stdout.write(f"{checkpoint.name} serves as generation {deployment.generation}")

    def _project(self) -> Project:
        project = Project.objects.filter(slug=SLUG).first()
        if project is None:
            taxonomy = [(name.replace(" ", "-"), name) for name in TAXONOMY]
            project = projects.create_project(slug=SLUG, name="Demo", taxonomy=taxonomy)
            self.stdout.write("project demo made")
        return project

    def _people(self, project: Project) -> None:
        """Makes who is missing, with a random password that is written down before it is valid."""
        missing = [name for name in PEOPLE if not get_user_model().objects.filter(username=name).exists()]
        passwords = {name: secrets.token_urlsafe(12) for name in missing}
        if passwords:
            lines = [f"{name:8} {PEOPLE[name].value:12} {password}" for name, password in passwords.items()]
            _write_privately(Path(settings.HOME) / ACCOUNTS, lines)
            self.stdout.write("demo accounts (name, role, password; shown once):\n  " + "\n  ".join(lines))
        for name, role in PEOPLE.items():
            person = _person(name, role, passwords.get(name))
            projects.add_member(project_id=project.pk, user_id=person.pk, role=role)

    def _guidelines(self, project: Project) -> None:
        """Publishes the first guidelines of each stage; what leads wrote since then stays."""
        for stage in Stage:
            if GuidelineVersion.objects.filter(project=project, stage=stage).exists():
                continue
            text = (GUIDELINES / f"{stage.value}.md").read_text("utf-8")
            draft = guidelines.save_draft(
                project_id=project.pk, stage=stage, markdown=text, summary="The first version.", actor=SEED
            )
            guidelines.publish(version_id=draft.pk, actor=SEED, now=timezone.now())
            if stage == Stage.PICK:
                _marks(project)
            self.stdout.write(f"guidelines of {stage.label} published")

    def _examples(self, project: Project) -> None:
        """Shows in stage 2 what people themselves rated best and what they handed over, once there is either."""
        if project.guideline_examples.filter(aspect="").exists():
            return
        judged = Selection.objects.filter(project=project)
        best = judged.filter(rating__gte=0.75).order_by("-rating", "pk").first()
        handed_over = judged.filter(none_because="none_good").order_by("pk").first()
        if best is not None and best.winner_id is not None:
            _example(project, best.winner_id, "good", "The best that people have rated here so far.")
        if handed_over is not None:
            failed = handed_over.batch.candidates.order_by("index").values_list("pk", flat=True)[0]
            _example(
                project, failed, "bad", "One of eight that were not good enough: an artist got this object."
            )

    def _photograph(self, project: Project, photograph: DemoPhotograph, *, confirm: bool) -> None:
        image, is_new = images.ingest_image(
            project_id=project.pk,
            data=photograph.data,
            name=photograph.title,
            attribution=photograph.attribution,
            licence=photograph.licence,
            point_map=photograph.point_map,
            user_id=None,
        )
        proposals = [
            images.propose_target(image_id=image.pk, mask_png=proposal.mask_png, label=proposal.label)
            for proposal in photograph.proposals
        ]
        if is_new:
            self.stdout.write(f"photograph {photograph.title}: {len(proposals)} proposals")
        if confirm and not image.targets.exclude(status=TargetStatus.PROPOSED).exists():
            _confirm(image, [target for target in proposals if target.label in CONFIRMED_AT_START])


def _person(name: str, role: Role, password: str | None) -> Any:
    users = get_user_model().objects
    if password is None:
        return users.get(username=name)
    return users.create_user(
        username=name,
        password=password,
        first_name=name.capitalize(),
        is_staff=role in CONSOLE_ROLES,
        is_superuser=role == Role.ADMIN,
    )


def _marks(project: Project) -> None:
    """Gives each mark of the rating its shape and its sentence."""
    for mark in tomllib.loads((GUIDELINES / "marks.toml").read_text("utf-8"))["mark"]:
        guidelines.add_example(
            project_id=project.pk,
            stage=Stage.PICK,
            verdict="good" if mark["value"] >= GOOD_FROM else "bad",
            caption=mark["caption"],
            candidate_id=None,
            glb=(GUIDELINES / "marks" / mark["file"]).read_bytes(),
            aspect=mark["aspect"],
            value=mark["value"],
            actor=SEED,
        )


def _example(project: Project, candidate_id: int, verdict: str, caption: str) -> None:
    guidelines.add_example(
        project_id=project.pk,
        stage=Stage.PICK,
        verdict=verdict,
        caption=caption,
        candidate_id=candidate_id,
        glb=None,
        actor=SEED,
    )


def _confirm(image: Image, targets: list[TargetObject]) -> None:
    """Takes reviewed masks as targets and asks for their candidates; the journal names the seed."""
    with transaction.atomic():
        current = rounds.current_round(image.project_id)
        for target in targets:
            transition(target, TargetStatus.CONFIRMED, by=SEED, reason="mask of the data set")
            candidates.request_batch(target=target, round=current, by=SEED)


def _write_privately(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
