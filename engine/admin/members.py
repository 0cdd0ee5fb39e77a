"""Who may see and do what in the admin: memberships of projects, read once per request."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from engine.access import ALWAYS, MAY_REVIEW, MAY_TRAIN
from engine.errors import NoAccess, NotFound
from engine.models import Membership
from engine.states import Role

#: Roles that may look into the console, change what it drives, and change the project itself.
MAY_LOOK = MAY_TRAIN | MAY_REVIEW | ALWAYS
MAY_DRIVE = MAY_TRAIN | ALWAYS
MAY_JUDGE = MAY_REVIEW | ALWAYS


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The projects in which a person has a role of the console; ``all_projects`` for superusers."""

    all_projects: bool
    roles: dict[int, frozenset[Role]]

    def projects_for(self, wanted: frozenset[Role]) -> frozenset[int]:
        return frozenset(project for project, roles in self.roles.items() if roles & wanted)

    def may(self, wanted: frozenset[Role]) -> bool:
        """Whether in any project."""
        return self.all_projects or bool(self.projects_for(wanted))

    def may_in(self, project_id: int | None, wanted: frozenset[Role]) -> bool:
        return self.all_projects or (
            project_id is not None and bool(self.roles.get(project_id, frozenset()) & wanted)
        )


NOWHERE = Reach(all_projects=False, roles={})


def reach_of(request: HttpRequest) -> Reach:
    """The person's reach; one query for the whole request."""
    known = getattr(request, "candid8_reach", None)
    if known is None:
        known = _read(request)
        request.candid8_reach = known  # type: ignore[attr-defined]  # kept for the rest of this request
    return known


def may_look(request: HttpRequest) -> bool:
    """Whether the person may enter the console at all."""
    return reach_of(request).may(MAY_LOOK)


def require_in(request: HttpRequest, project_id: int, wanted: frozenset[Role]) -> None:
    """Raises NotFound for a stranger to the project and NoAccess for a member without such a role."""
    reach = reach_of(request)
    if reach.may_in(project_id, wanted):
        return
    if project_id not in reach.roles:
        raise NotFound("There is no such page, or you are not a member of its project.")
    names = ", ".join(sorted(role.label for role in wanted))
    raise NoAccess(f"This needs one of the roles {names} in the project.")


def require_anywhere(request: HttpRequest, wanted: frozenset[Role]) -> None:
    """For what serves every project: checkpoints and deployments."""
    if not reach_of(request).may(wanted):
        raise NoAccess("This needs the role ML engineer, lead or admin in some project.")


def _read(request: HttpRequest) -> Reach:
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return NOWHERE
    if user.is_superuser:
        return Reach(all_projects=True, roles={})
    roles: dict[int, set[Role]] = {}
    for project, role in Membership.objects.filter(user_id=user.pk).values_list("project_id", "role"):
        roles.setdefault(project, set()).add(Role(role))
    return Reach(all_projects=False, roles={project: frozenset(held) for project, held in roles.items()})
