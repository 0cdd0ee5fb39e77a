"""The people every test knows: ana annotates, art models, rev reviews, lea leads, mel trains, eve has no access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from engine.models import Membership, Project
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
    return _persons([name])[name]


def people_of(project: Project) -> People:
    """Everybody, with their roles in the project."""
    everybody = _persons([*ROLES, "eve"])
    Membership.objects.bulk_create(
        (Membership(project=project, user=everybody[name], role=role) for name, role in ROLES.items()),
        ignore_conflicts=True,
    )
    return People(**everybody)


def _persons(names: Sequence[str]) -> dict[str, User]:
    users = get_user_model().objects
    found = {user.username: user for user in users.filter(username__in=names)}
    password = make_password(PASSWORD)
    made = users.bulk_create(
        User(username=name, password=password, first_name=name.capitalize())
        for name in names
        if name not in found
    )
    return found | {user.username: user for user in made}
