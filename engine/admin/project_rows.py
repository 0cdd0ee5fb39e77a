"""Lists of projects, people, photographs and what was picked out in them."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from django.utils.safestring import SafeString

from engine.access import ALWAYS
from engine.admin.members import reach_of
from engine.admin.rows import LeadsRows, Rows, link
from engine.models import Image, Membership, PointMap, Project, Round, TargetObject, TaxonomyEntry

admin.site.unregister(Group)  # memberships of projects decide, not groups


@admin.register(Project)
class ProjectRows(Rows):
    project_path = "pk"
    list_display = [
        "name",
        "slug",
        "console",
        "stage2_mode",
        "num_candidates",
        "alpha",
        "paused",
        "created_at",
    ]
    readonly_fields = ["slug", "alpha", "num_candidates", "created_at"]
    search_fields = ["name", "slug"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        reach = reach_of(request)
        return reach.may(ALWAYS) if obj is None else reach.may_in(obj.pk, ALWAYS)

    @admin.display(description="Console")
    def console(self, row: Project) -> SafeString | str:
        return link("project", "overview", project_id=row.pk)


@admin.register(Membership)
class MembershipRows(LeadsRows):
    list_display = ["user", "role", "project"]
    list_filter = ["role"]
    list_select_related = ("user", "project")
    search_fields = ["user__username"]


@admin.register(TaxonomyEntry)
class TaxonomyRows(LeadsRows):
    list_display = ["label", "key", "project"]
    list_select_related = ("project",)
    search_fields = ["label", "key"]


@admin.register(Round)
class RoundRows(Rows):
    list_display = [
        "__str__",
        "console",
        "status",
        "alpha",
        "num_candidates",
        "deployment",
        "opened_at",
        "closed_at",
    ]
    list_filter = ["status"]
    list_select_related = ("project", "deployment")

    @admin.display(description="Console")
    def console(self, row: Round) -> SafeString | str:
        return link("round", f"round {row.number}", round_id=row.pk)


@admin.register(Image)
class ImageRows(Rows):
    list_display = [
        "id",
        "name",
        "project",
        "status",
        "width",
        "height",
        "licence",
        "uploaded_by",
        "created_at",
    ]
    list_filter = ["status"]
    list_select_related = ("project", "uploaded_by")
    search_fields = ["name", "sha256"]


@admin.register(PointMap)
class PointMapRows(Rows):
    list_display = ["image", "status", "source", "approximate", "metric", "num_points", "detail"]
    list_filter = ["status", "approximate"]
    list_select_related = ("image", "project")


@admin.register(TargetObject)
class TargetRows(Rows):
    list_display = ["id", "story", "image", "status", "source", "area_px", "created_at"]
    list_filter = ["status", "source"]
    list_select_related = ("image", "project", "taxonomy_entry")
    search_fields = ["label"]

    @admin.display(description="Story", ordering="label")
    def story(self, row: TargetObject) -> SafeString | str:
        return link("target", row.label or "object", target_id=row.pk)
