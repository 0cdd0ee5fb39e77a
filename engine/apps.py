"""Registers engine with Django."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    name = "engine"
    verbose_name = "Candid8"
    default_auto_field = "django.db.models.BigAutoField"
