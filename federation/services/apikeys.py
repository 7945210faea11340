"""API keys: what scripts act with, in the name of a user."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from federation import tokens
from federation.errors import Conflict, Invalid, Unauthorized
from federation.models import ApiKey
from federation.services import people

if TYPE_CHECKING:
    from django.contrib.auth.models import User

USUAL_DAYS = 365
DAYS = (1, 3650)
MOST = 50  # usable keys of one user
NAME_CHARACTERS = 60
NOTED_EVERY = timedelta(minutes=1)  # the last use is written at most this often


def create(
    user: User,
    *,
    name: str = "",
    days: int | None = USUAL_DAYS,
    may_administer: bool = False,
    now: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key. It is returned this once and kept only as a hash.

    days: None for a key that does not expire. may_administer: it may do administrative acts while its user is staff.
    """
    now = now or timezone.now()
    _check(user, name, days, now)
    secret = tokens.api_key()
    key = ApiKey.objects.create(
        user=user,
        name=name.strip(),
        key_hash=tokens.digest(secret),
        hint=secret[:8],
        may_administer=may_administer,
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    return key, secret


def _check(user: User, name: str, days: int | None, now: datetime) -> None:
    if len(name.strip()) > NAME_CHARACTERS or not name.isprintable():
        raise Invalid(("name", f"Use up to {NAME_CHARACTERS} printable characters."))
    if days is not None and not DAYS[0] <= days <= DAYS[1]:
        raise Invalid(("days", f"days is {days}: choose {DAYS[0]} to {DAYS[1]}."))
    if usable(now).filter(user=user).count() >= MOST:
        raise Conflict(f"{user.get_username()} has {MOST} valid keys. Revoke one on the page *API keys*.")


def usable(now: datetime) -> QuerySet[ApiKey]:
    """Keys that are valid, of users who may sign in."""
    lasts = Q(expires_at=None) | Q(expires_at__gt=now)
    return ApiKey.objects.filter(lasts, revoked_at=None, user__is_active=True)


def find(secret: str, *, now: datetime) -> ApiKey | None:
    """The key with this secret, and its user; None if it is unknown or revoked, or the user may not sign in.

    Raises Unauthorized, with the date, for an expired key.
    """
    found = ApiKey.objects.select_related("user").annotate(user_is_viewer=people.is_viewer("user_id"))
    key = found.filter(key_hash=tokens.digest(secret), revoked_at=None, user__is_active=True).first()
    if key is None:
        return None
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthorized(f"This API key expired on {key.expires_at:%d %B %Y}. Make a new one on the page *API keys*.")
    setattr(key.user, people.IS_VIEWER, vars(key)["user_is_viewer"])
    _note_use(key, now)
    return key


def _note_use(key: ApiKey, now: datetime) -> None:
    """Note when a key was used last, at most once a minute."""
    if key.last_used_at is None or now - key.last_used_at >= NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def user_of(secret: str) -> User | None:
    """The user of a key; None if the key is not valid."""
    try:
        key = find(secret, now=timezone.now())
    except Unauthorized:
        return None
    return key.user if key else None


def of(user: User, *, now: datetime) -> list[ApiKey]:
    """A user's keys that were not revoked, the newest first; those that expired more than a year ago are left out."""
    shown = Q(expires_at=None) | Q(expires_at__gt=now - timedelta(days=USUAL_DAYS))
    return list(ApiKey.objects.filter(shown, user=user, revoked_at=None).order_by("-pk"))


def of_others(user: User, *, now: datetime) -> list[ApiKey]:
    """Other people's valid keys, the most recently used first."""
    used = F("last_used_at").desc(nulls_last=True)
    return list(usable(now).exclude(user=user).select_related("user").order_by(used, "-pk")[:200])


def revoke(key: ApiKey, *, now: datetime) -> None:
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
