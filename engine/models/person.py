"""How a person wants their pages: language, look, and keys of their own."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class PersonalSettings(models.Model):
    """One person's; empty means as the browser or the product has it."""

    class Language(models.TextChoices):
        BROWSER = "", "As the browser"
        ENGLISH = "en", "English"
        GERMAN = "de", "Deutsch"

    class Theme(models.TextChoices):
        DEFAULT = "", "Default"
        DARK = "dark", "Dark"
        LIGHT = "light", "Light"

    class Motion(models.TextChoices):
        SYSTEM = "", "As the system"
        REDUCED = "reduced", "Reduced"
        FULL = "full", "Full"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="personal_settings")
    keys = models.JSONField(default=dict, help_text="Command > its keys, where they are not the usual ones.")
    single_keys = models.BooleanField(default=True, help_text="Keys of one character do something.")
    language = models.CharField(max_length=8, blank=True, choices=Language.choices, default=Language.BROWSER)
    theme = models.CharField(max_length=8, blank=True, choices=Theme.choices, default=Theme.DEFAULT)
    motion = models.CharField(max_length=8, blank=True, choices=Motion.choices, default=Motion.SYSTEM)

    class Meta:
        verbose_name_plural = "personal settings"

    def __str__(self) -> str:
        return f"settings of {self.user_id}"
