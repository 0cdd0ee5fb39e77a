"""Registers engine with Django, and the admin with our console as its site."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class EngineConfig(AppConfig):
    name = "engine"
    verbose_name = "Candid8"
    default_auto_field = "django.db.models.BigAutoField"


class ConsoleAdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "engine.admin.site.ConsoleSite"
