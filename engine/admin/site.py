"""Our admin site: who may enter, and the console's pages beside Django's lists of rows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, include, path

from engine.admin.members import may_look
from engine.admin.overview import overview


class ConsoleSite(admin.AdminSite):
    """Membership decides who may enter, not ``is_staff``; logging in happens at the site's own door."""

    site_header = "Candid8"
    site_title = "Candid8 console"
    index_title = "Console"
    index_template = "admin/console/overview.html"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return may_look(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.user.is_authenticated:
            raise PermissionDenied(
                "The console is for ML engineers, reviewers, leads and admins of a project."
            )
        target = request.GET.get("next") or resolve_url("admin:index")
        return redirect_to_login(target, login_url=settings.LOGIN_URL)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**(extra_context or {}), **overview(request)})

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [path("console/", include("engine.admin.console.urls")), *super().get_urls()]
