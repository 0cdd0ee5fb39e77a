"""Every address of the site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from annotate import converters, pages

converters.register()

urlpatterns = [
    path("healthz", pages.healthz),
    path("api/v1/", include("annotate.api.urls")),
    path("login", LoginView.as_view(template_name="annotate/login.html", redirect_authenticated_user=True)),
    path("logout", LogoutView.as_view()),
    path("", pages.projects),
    path("p/<slug:slug>/", pages.home),
    path("p/<slug:slug>/work/<stage:stage>", pages.work),
    path("p/<slug:slug>/arena", pages.arena),
    path("p/<slug:slug>/guidelines/", pages.guidelines),
    path("p/<slug:slug>/artists/", pages.artists),
    path("p/<slug:slug>/artists/<row:case_id>", pages.artist_case),
    path("admin/", admin.site.urls),
]

handler400 = "annotate.failures.bad_request"
handler403 = "annotate.failures.forbidden"
handler404 = "annotate.failures.not_found"
handler500 = "annotate.failures.server_error"
