"""The console's addresses, below /admin/console/; names are admin:console-*."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
