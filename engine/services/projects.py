"""Sets up projects and says who may do what in them."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from engine.errors import BadInput, NotFound
from engine.models import Membership, Project, TaxonomyEntry
from engine.services import rounds
from engine.states import DatasetStatus, Role
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


def set_held_back(*, project_id: int, least_foreign: float, brake: str, audit_share: float) -> Project:
    """Sets what dataset versions hold back from now on.

    Raises BadInput for what is no share, and for a larger audit set once a version is frozen: what was trained on is
    seen.
    """
    if not 0 <= least_foreign < 1 or not 0 <= audit_share <= 0.5 or brake not in Project.Brake.values:
        raise BadInput(
            "The share of others must be at least 0 and below 1, the share for auditing between 0 and one half."
        )
    with transaction.atomic():
        project = _locked(project_id)
        is_frozen = project.dataset_versions.filter(status=DatasetStatus.FROZEN).exists()
        if is_frozen and audit_share > project.audit_share:
            raise BadInput(
                "A version is frozen already, and what it trains on can be audited no more: the share for auditing "
                "may only become smaller.",
                code="audit_too_late",
            )
        project.least_foreign, project.brake, project.audit_share = least_foreign, brake, audit_share
        project.save(update_fields=["least_foreign", "brake", "audit_share"])
    return project


def set_sampling(*, project_id: int, sampling: str, easy_first: bool) -> Project:
    """Sets in which order new work comes; the next re-banding carries it out."""
    if sampling not in Project.Sampling.values:
        raise BadInput(f"The order must be one of {', '.join(Project.Sampling.values)}, not {sampling!r}.")
    with transaction.atomic():
        project = _locked(project_id)
        project.sampling, project.easy_first = sampling, easy_first
        project.save(update_fields=["sampling", "easy_first"])
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


def _locked(project_id: int) -> Project:
    project = Project.objects.select_for_update().filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
