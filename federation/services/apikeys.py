"""API keys: what scripts act with, in the name of a user."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.utils import timezone

from federation import tokens
from federation.models import ApiKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create(user: User) -> tuple[ApiKey, str]:
    """Make a key. It is returned this once and kept only as a hash."""
    secret = tokens.api_key()
    key = ApiKey.objects.create(user=user, key_hash=tokens.digest(secret), hint=secret[:8])
    return key, secret


def usable(now: datetime) -> QuerySet[ApiKey]:
    """Keys that open something."""
    return ApiKey.objects.filter(revoked_at=None, user__is_active=True)


def user_of(secret: str) -> User | None:
    """Whom a key speaks for; None for an unknown or revoked key and for a user who may not sign in."""
    key = usable(timezone.now()).select_related("user").filter(key_hash=tokens.digest(secret)).first()
    return key.user if key else None


def revoke(key: ApiKey, *, now: datetime) -> None:
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
