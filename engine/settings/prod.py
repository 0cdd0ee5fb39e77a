"""Settings of a production host: refuses to start with a weak secret or without TLS in front."""

from django.core.exceptions import ImproperlyConfigured

from engine.settings.base import *  # noqa: F403
from engine.settings.base import SECRET_KEY

if len(SECRET_KEY) < 32 or "insecure" in SECRET_KEY or "change" in SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY must be a random text of at least 32 characters in production")

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SECURE_SSL_REDIRECT = True
