"""Reads: how a person wants their pages."""

from __future__ import annotations

from engine.models import PersonalSettings


def settings_of(*, user_id: int) -> PersonalSettings:
    """The person's settings, or what holds before they chose anything. One query."""
    return PersonalSettings.objects.filter(user_id=user_id).first() or PersonalSettings(user_id=user_id)
