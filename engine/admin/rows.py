"""How rows are listed: read-only, within the person's projects, a bounded number of queries a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from engine.access import ALWAYS
from engine.admin.members import MAY_LOOK, may_look, reach_of

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class Rows(ModelAdmin):
    """Rows that only services change. ``project_path`` leads to their project; None: they are everybody's."""

    project_path: str | None = "project_id"
    list_per_page = 50
    show_full_result_count = False
    actions = None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_look(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_look(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if isinstance(self.list_select_related, tuple | list):
            rows = rows.select_related(*self.list_select_related)
        reach = reach_of(request)
        if self.project_path is None or reach.all_projects:
            return rows
        return rows.filter(**{f"{self.project_path}__in": reach.projects_for(MAY_LOOK)})


class LeadsRows(Rows):
    """Rows that the leads and admins of a project keep: who is in it, and what its objects are called."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return reach_of(request).may(ALWAYS)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._leads(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._leads(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        reach = reach_of(request)
        if (
            field is not None
            and field.queryset is not None
            and db_field.name == "project"
            and not reach.all_projects
        ):
            field.queryset = field.queryset.filter(pk__in=reach.projects_for(ALWAYS))
        return field

    def _leads(self, request: HttpRequest, obj: Model | None) -> bool:
        reach = reach_of(request)
        return reach.may(ALWAYS) if obj is None else reach.may_in(project_of(obj), ALWAYS)


def project_of(row: Model) -> int | None:
    """The id of the project a row belongs to; a project belongs to itself."""
    return row.pk if row._meta.model_name == "project" else getattr(row, "project_id", None)


def link(name: str, text: object, **kwargs: int | None) -> SafeString | str:
    """A link to a page of the console, or a dash when there is nowhere to go."""
    if None in kwargs.values():
        return "–"
    return format_html('<a href="{}">{}</a>', reverse(f"admin:console-{name}", kwargs=kwargs), text)
