"""Sets up a simulation's own project and accounts, and sends everybody to the site's front door."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model

from engine.models import Project
from engine.selectors.pauses import records_of
from engine.services import projects
from engine.states import Role
from training.data.families import FAMILIES
from training.simulation.front_door.engineer import Engineer
from training.simulation.front_door.flywheel import Crew, FlywheelPlan
from training.simulation.front_door.lead import Lead
from training.simulation.front_door.people import Annotator, Artist, Gallery
from training.simulation.front_door.profiles import crew
from training.simulation.front_door.visitor import Visitor

ACCOUNTS = "accounts.json"


def assemble_crew(
    *, url: str, slug: str, plan: FlywheelPlan, annotators: int, folder: Path, say: Callable[[str], None]
) -> Crew:
    """The project ``slug`` (made when it is missing) with its people, artist, engineer and lead, all logged in.

    Passwords are drawn once and kept in the simulation's folder, readable by its owner alone.
    """
    names = {f"{slug}-annotator-{number}": Role.ANNOTATOR for number in range(annotators)}
    names |= {f"{slug}-artist": Role.ARTIST, f"{slug}-engineer": Role.ML_ENGINEER, f"{slug}-lead": Role.LEAD}
    project, passwords = _project(slug, plan), _accounts(names, folder)
    for name, role in names.items():
        person = get_user_model().objects.get(username=name)
        projects.add_member(project_id=project.pk, user_id=person.pk, role=role)
    visitors = {name: Visitor(url, name=name, password=passwords[name]) for name in names}
    gallery = Gallery()
    people = [
        Annotator(
            visitors[f"{slug}-annotator-{number}"],
            profile,
            project_id=project.pk,
            gallery=gallery,
            seed=plan.seed,
        )
        for number, profile in enumerate(crew(annotators))
    ]
    engineer = visitors[f"{slug}-engineer"]
    return Crew(
        uploader=engineer,
        annotators=people,
        artist=Artist(visitors[f"{slug}-artist"], project_id=project.pk, gallery=gallery),
        engineer=Engineer(engineer, project_id=project.pk, say=say),
        lead=Lead(visitors[f"{slug}-lead"], project_id=project.pk, gallery=gallery),
        gallery=gallery,
        project_id=project.pk,
        records=partial(
            people_records, project.pk, kinds={one.visitor.name: one.profile.kind for one in people}
        ),
    )


def people_records(project_id: int, *, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each of the named people: how many answers, how many to hidden gold, and after how many they were paused.

    The pauses are the site's own, of its journal; answers before one count hidden gold too, as the person does.
    """
    return [
        {
            "username": record.username,
            "kind": kinds[record.username],
            "answers": record.num_answers,
            "gold": record.num_gold,
            "gold_right": record.num_right,
            "paused_after": record.answers_before,
            "paused_after_gold": record.gold_before,
            "because": record.paused_because,
        }
        for record in records_of(project_id)
        if record.username in kinds
    ]


def _project(slug: str, plan: FlywheelPlan) -> Project:
    found = Project.objects.filter(slug=slug).first()
    return found or projects.create_project(
        slug=slug,
        name=f"Simulation {slug}",
        taxonomy=[(family, family) for family in sorted(FAMILIES)],
        num_candidates=plan.num_candidates,
        stage2_mode=Project.Stage2Mode.KING,
        alpha=plan.alpha(1),
    )


def _accounts(names: dict[str, Role], folder: Path) -> dict[str, str]:
    """Name > password, drawn at the first call and read at later ones."""
    path = folder / ACCOUNTS
    passwords: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in names if name not in passwords]
    passwords |= {name: secrets.token_urlsafe(12) for name in missing}
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(passwords, file)
    users = get_user_model().objects
    for name in names:
        if not users.filter(username=name).exists():
            users.create_user(username=name, password=passwords[name])
    return passwords
