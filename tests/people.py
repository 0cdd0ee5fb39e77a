"""The people every test knows: ana annotates, art models, rev reviews, lea leads, mel trains, eve has no access."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from engine.models import Project
from engine.services.projects import add_member
from engine.states import Role

PASSWORD = "a long pass phrase for tests"


@dataclass(frozen=True, kw_only=True)
class People:
    """Users with their roles in one project; bob is a second annotator, eve is in no project."""

    ana: User
    bob: User
    art: User
    rev: User
    lea: User
    mel: User
    eve: User


ROLES = {
    "ana": Role.ANNOTATOR,
    "bob": Role.ANNOTATOR,
    "art": Role.ARTIST,
    "rev": Role.REVIEWER,
    "lea": Role.LEAD,
    "mel": Role.ML_ENGINEER,
}


def person(name: str) -> User:
    """The user of that name, made when needed."""
    users = get_user_model().objects
    found = users.filter(username=name).first()
    return found or users.create_user(username=name, password=PASSWORD, first_name=name.capitalize())


def people_of(project: Project) -> People:
    """Everybody, with their roles in the project."""
    everybody = {name: person(name) for name in (*ROLES, "eve")}
    for name, role in ROLES.items():
        add_member(project_id=project.pk, user_id=everybody[name].pk, role=role)
    return People(**everybody)
