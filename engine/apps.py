"""Registers engine with Django, and the admin with our console as its site."""

from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class EngineConfig(AppConfig):
    name = "engine"
    verbose_name = "Candid8"
    default_auto_field = "django.db.models.BigAutoField"


class ConsoleAdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "engine.admin.site.ConsoleSite"

    def ready(self) -> None:
        super().ready()
        # After the site is there, which Django makes from engine.admin.site: registering needs both.
        for rows in ("project_rows", "judgement_rows", "model_rows"):
            import_module(f"engine.admin.{rows}")
