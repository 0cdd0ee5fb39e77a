"""Every address of the WebSocket interface."""

from __future__ import annotations

from django.urls import path

from annotate.ws.consumer import ProjectEvents

urlpatterns = [path("ws/projects/<int:project_id>", ProjectEvents.as_asgi())]
