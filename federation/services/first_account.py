"""The first account of a new server: made on a page, by whoever holds the code that the server printed at its start.

The code is valid once, for a day, and only while there is no account. This process remembers its digest alone.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import transaction

from federation import tokens
from federation.errors import Conflict, Forbidden

if TYPE_CHECKING:
    from django.contrib.auth.models import User

VALID = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Offer:
    digest: str
    ends: datetime


_offer: _Offer | None = None
_lock = Lock()


def is_missing() -> bool:
    return not get_user_model().objects.exists()


def offer(*, now: datetime) -> str | None:
    """A code for the first account; earlier ones are void. None where there is an account."""
    global _offer
    if not is_missing():
        return None
    code = secrets.token_urlsafe(24)
    _offer = _Offer(tokens.digest(code), now + VALID)
    return code


def check(code: str, *, now: datetime) -> None:
    """Raises Conflict where there is an account, Forbidden for a code that is not valid."""
    if not is_missing():
        raise Conflict("This server has an account already. Sign in with it.")
    if _offer is None or not hmac.compare_digest(_offer.digest, tokens.digest(code)):
        raise Forbidden("This code is not valid. Use the link that the server printed when it started last.")
    if now >= _offer.ends:
        raise Forbidden("This code has expired. Start the server again: it prints a new link.")


def create(code: str, *, username: str, password: str, now: datetime) -> User:
    """Make the first account, of somebody who may do everything. Raises as `check` does."""
    global _offer
    with _lock, transaction.atomic():
        check(code, now=now)
        user = get_user_model().objects.create_superuser(username, password=password)
        _offer = None
    return user
