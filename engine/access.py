"""Permission-checked fetches: the only way to a row on a person's behalf. Strangers learn nothing of it."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser

from engine.errors import NoAccess, NotFound
from engine.models import (
    Arena,
    ArtistCase,
    Assignment,
    Candidate,
    DatasetVersion,
    Image,
    Job,
    Membership,
    Project,
    Round,
    TargetObject,
    TrainingRun,
)
from engine.states import Role

#: What each kind of work asks for. Leads and admins may do all of it.
MAY_ANNOTATE = frozenset({Role.ANNOTATOR})
MAY_MODEL = frozenset({Role.ARTIST})
MAY_TRAIN = frozenset({Role.ML_ENGINEER})
MAY_REVIEW = frozenset({Role.REVIEWER})
MAY_LOOK = frozenset(Role)
ALWAYS = frozenset({Role.LEAD, Role.ADMIN})


def roles_in(*, user_id: int, project_id: int) -> frozenset[Role]:
    """The person's roles in the project; empty for a stranger. One query."""
    roles = Membership.objects.filter(user_id=user_id, project_id=project_id).values_list("role", flat=True)
    return frozenset(Role(role) for role in roles)


def require(*, user_id: int, project_id: int, any_of: Iterable[Role]) -> frozenset[Role]:
    """The person's roles, when one of them is in ``any_of`` or may do everything.

    Raises NotFound for a stranger (who shall not learn that the project is there) and NoAccess for a member.
    """
    roles = roles_in(user_id=user_id, project_id=project_id)
    if not roles:
        raise NotFound("There is no such project, or you are not a member of it.")
    wanted = frozenset(any_of)
    if not roles & (wanted | ALWAYS):
        names = ", ".join(sorted(role.label for role in wanted))
        raise NoAccess(f"This needs one of the roles {names} in the project.")
    return roles


def access_project(
    *, user_id: int, project_id: int, any_of: Iterable[Role]
) -> tuple[Project, frozenset[Role]]:
    roles = require(user_id=user_id, project_id=project_id, any_of=any_of)
    return Project.objects.get(pk=project_id), roles


def access_project_by_slug(
    *, user_id: int, slug: str, any_of: Iterable[Role]
) -> tuple[Project, frozenset[Role]]:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        raise NotFound("There is no such project, or you are not a member of it.")
    return project, require(user_id=user_id, project_id=project.pk, any_of=any_of)


def access_image(*, user_id: int, image_id: int, any_of: Iterable[Role]) -> Image:
    image = Image.objects.select_related("project").filter(pk=image_id).first()
    if image is None:
        raise NotFound("There is no such photograph, or you are not a member of its project.")
    require(user_id=user_id, project_id=image.project_id, any_of=any_of)
    return image


def access_target(*, user_id: int, target_id: int, any_of: Iterable[Role]) -> TargetObject:
    target = TargetObject.objects.select_related("image").filter(pk=target_id).first()
    if target is None:
        raise NotFound("There is no such target, or you are not a member of its project.")
    require(user_id=user_id, project_id=target.project_id, any_of=any_of)
    return target


def access_candidate(*, user_id: int, candidate_id: int, any_of: Iterable[Role]) -> Candidate:
    candidate = Candidate.objects.filter(pk=candidate_id).first()
    if candidate is None:
        raise NotFound("There is no such candidate, or you are not a member of its project.")
    require(user_id=user_id, project_id=candidate.project_id, any_of=any_of)
    return candidate


def access_assignment(*, user_id: int, assignment: UUID) -> Assignment:
    """The person's own assignment with its task, unlocked. Other people's are not there for them."""
    own = Assignment.objects.select_related("task").filter(uuid=assignment, annotator_id=user_id).first()
    if own is None:
        raise NotFound("There is no such assignment of yours.")
    return own


def access_artist_case(*, user_id: int, case_id: int, any_of: Iterable[Role]) -> ArtistCase:
    case = ArtistCase.objects.select_related("target__image", "claimed_by").filter(pk=case_id).first()
    if case is None:
        raise NotFound("There is no such case, or you are not a member of its project.")
    require(user_id=user_id, project_id=case.project_id, any_of=any_of)
    return case


def access_arena(*, user_id: int, arena_id: int, any_of: Iterable[Role]) -> Arena:
    arena = Arena.objects.filter(pk=arena_id).first()
    if arena is None:
        raise NotFound("There is no such arena, or you are not a member of its project.")
    require(user_id=user_id, project_id=arena.project_id, any_of=any_of)
    return arena


def access_job(*, user_id: int, job: UUID, any_of: Iterable[Role]) -> Job:
    row = Job.objects.filter(uuid=job).first()
    if row is None or row.project_id is None:
        raise NotFound("There is no such job, or you are not a member of its project.")
    require(user_id=user_id, project_id=row.project_id, any_of=any_of)
    return row


def access_dataset_version(
    *, user_id: int, dataset_version_id: int, any_of: Iterable[Role]
) -> DatasetVersion:
    version = DatasetVersion.objects.filter(pk=dataset_version_id).first()
    if version is None:
        raise NotFound("There is no such dataset version, or you are not a member of its project.")
    require(user_id=user_id, project_id=version.project_id, any_of=any_of)
    return version


def access_round(*, user_id: int, round_id: int, any_of: Iterable[Role]) -> Round:
    found = Round.objects.select_related("deployment").filter(pk=round_id).first()
    if found is None:
        raise NotFound("There is no such round, or you are not a member of its project.")
    require(user_id=user_id, project_id=found.project_id, any_of=any_of)
    return found


def access_run(*, user_id: int, run_id: int, any_of: Iterable[Role]) -> TrainingRun:
    run = TrainingRun.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run, or you are not a member of its project.")
    require(user_id=user_id, project_id=run.project_id, any_of=any_of)
    return run


def require_ml_engineer_somewhere(user: AbstractBaseUser) -> None:
    """Checkpoints serve every project, so deploying asks for the role in any of them."""
    allowed = MAY_TRAIN | ALWAYS
    if getattr(user, "is_superuser", False):
        return
    if not Membership.objects.filter(user_id=user.pk, role__in=allowed).exists():
        raise NoAccess("Deploying needs the role ML engineer, lead or admin in some project.")
