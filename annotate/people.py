"""How a person is named on a screen."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AbstractUser, AnonymousUser


def display_name(user: AbstractBaseUser | AnonymousUser) -> str:
    """The full name when there is one, else the user name."""
    full = user.get_full_name() if isinstance(user, AbstractUser) else ""
    return full or user.get_username()
