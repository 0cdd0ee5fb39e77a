"""Settings of `make up`: a laptop or one lab machine, on loopback."""

from engine.settings.base import *  # noqa: F403  (Django's settings idiom)
