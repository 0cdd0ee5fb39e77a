"""Registers annotate with Django, for its templates."""

from django.apps import AppConfig


class AnnotateConfig(AppConfig):
    name = "annotate"
