"""Settings of `make up`: a laptop or one lab machine, on loopback."""

from engine.settings.base import *  # noqa: F403  (Django's settings idiom)

# Static files are served from where they are: collecting and compressing them costs a first start more than it saves.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
