"""Importing this starts throw-away servers and sets Django up on them; import it before any model."""

import os

import django
from django.core.management import call_command

from tests.real_services import provide_services

provide_services()
os.environ["DJANGO_SETTINGS_MODULE"] = "engine.settings.test"
django.setup()
call_command("migrate", verbosity=0)
