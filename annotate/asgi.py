"""The web process: HTTP through WSGI Django in a thread pool, WebSockets through Channels."""

from __future__ import annotations

import os

from a2wsgi import WSGIMiddleware
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings.dev")

# Django's own ASGI handler costs four to eight times the CPU of its WSGI handler per request.
http = WSGIMiddleware(get_wsgi_application(), workers=8)  # type: ignore[arg-type]  # an HttpResponse is an iterable of bytes

from annotate.ws.urls import urlpatterns  # noqa: E402  (needs the applications that the line above has loaded)

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(urlpatterns))),
    }
)
