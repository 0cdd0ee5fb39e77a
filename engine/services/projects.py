"""Sets up projects and says who may do what in them."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from engine.errors import BadInput, NotFound
from engine.models import Membership, Project, TaxonomyEntry
from engine.services import rounds
from engine.states import Role
from engine.transitions import Actor

SETUP = Actor(name="setup")


def create_project(
    *,
    slug: str,
    name: str,
    taxonomy: Sequence[tuple[str, str]],
    num_candidates: int = 8,
    stage2_mode: str = Project.Stage2Mode.GRID,
    alpha: float = 0.5,
) -> Project:
    """Makes the project with its taxonomy of (key, label) and opens its first round."""
    _check_keys([slug, *(key for key, _ in taxonomy)])
    if stage2_mode not in Project.Stage2Mode.values:
        raise BadInput(
            f"stage2_mode must be one of {', '.join(Project.Stage2Mode.values)}, not {stage2_mode}."
        )
    try:
        with transaction.atomic():
            project = Project.objects.create(
                slug=slug, name=name, num_candidates=num_candidates, stage2_mode=stage2_mode, alpha=alpha
            )
            TaxonomyEntry.objects.bulk_create(
                TaxonomyEntry(project=project, key=key, label=label) for key, label in taxonomy
            )
            rounds.open_round(project_id=project.pk, alpha=alpha, num_candidates=num_candidates, actor=SETUP)
    except IntegrityError as error:
        raise BadInput(
            f"The project {slug} cannot be made: its slug and each taxonomy key must be used once, it must show 2 to "
            "64 candidates, and alpha must lie between 0 and 1."
        ) from error
    return project


def add_member(*, project_id: int, user_id: int, role: Role) -> Membership:
    """Gives the person the role in the project; twice is once."""
    if not Project.objects.filter(pk=project_id).exists():
        raise NotFound("There is no such project.")
    membership, _ = Membership.objects.get_or_create(project_id=project_id, user_id=user_id, role=Role(role))
    return membership


def _check_keys(keys: Sequence[str]) -> None:
    for key in keys:
        try:
            validate_slug(key)
        except ValidationError as error:
            raise BadInput(f"{key!r} must be of letters, digits, hyphens and underscores.") from error
