"""Settings of the tests: the same real services, plain static files, cheap password hashes."""

import os

os.environ.setdefault(
    "DJANGO_ALLOW_ASYNC_UNSAFE", "true"
)  # Playwright's synchronous API runs inside an event loop

from engine.settings.base import *  # noqa: F403
from engine.settings.base import DATABASES

BROWSER_TEST_HANDLE = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A live server in a test finds files through the finders, where hashed names do not exist.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
# Test threads open connections of their own; without a pool they close with the thread.
DATABASES["default"]["OPTIONS"].pop("pool", None)
