"""Checks passwords: few at a time, because hashing is slow on purpose, and not without end for those who guess.

django-axes calls these functions during every sign-in; they use the table in `federation.services.signins`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

from axes.handlers.base import AbstractAxesHandler, AxesBaseHandler
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from federation.errors import Refused
from federation.services import people, signins

AT_A_TIME = 2  # passwords that are hashed at a time, each on its own core
IN_THE_ROOM = 8  # those and the waiting ones; the others are refused
RETRY_SECONDS = 2


class TooManyAtOnce(Refused):
    """The server is checking as many passwords as it can."""

    status = 503
    title = "Too many sign-ins at once"


class WrongTooOften(Refused):
    """Too many wrong passwords or API keys came from there."""

    status = 429
    title = "Wrong too often"


_room = BoundedSemaphore(IN_THE_ROOM)
_hashing = BoundedSemaphore(AT_A_TIME)


@contextmanager
def a_place() -> Iterator[None]:
    """A place to hash one password. Raises TooManyAtOnce if many are waiting."""
    if not _room.acquire(blocking=False):
        detail = "Many people are signing in. Try again in a few seconds."
        raise TooManyAtOnce(detail, headers={"Retry-After": str(RETRY_SECONDS)})
    try:
        with _hashing:
            yield
    finally:
        _room.release()


def locked_out(request: HttpRequest, username: str) -> WrongTooOften | None:
    """Why this name may not try from this address now, or None."""
    left = signins.waits(username, signins.address_of(request), now=timezone.now())
    if left is None:
        return None
    seconds = math.ceil(left.total_seconds())
    minutes = math.ceil(seconds / 60)
    detail = f"Too many wrong passwords came from here. Try again in {minutes} min."
    return WrongTooOften(detail, headers={"Retry-After": str(seconds)})


class Backend(ModelBackend):
    """Django's own, with a limit before the hash. The user carries the annotation that `people.caller` reads."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **more: Any
    ) -> User | None:
        with a_place():
            return super().authenticate(request, username=username, password=password, **more)

    def get_user(self, user_id: int) -> User | None:
        found = User.objects.annotate(**{people.IS_VIEWER: people.is_viewer()}).filter(pk=user_id).first()
        return found if found and self.user_can_authenticate(found) else None


class Handler(AbstractAxesHandler, AxesBaseHandler):
    """Answers django-axes from the table of sign-ins."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return locked_out(request, _name(credentials)) is not None

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        return int(self.is_locked(request, credentials))

    def user_login_failed(
        self, sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
    ) -> None:
        """A refused try is not counted, so the wait ends even if somebody keeps trying."""
        if request is None or getattr(request, "axes_locked_out", False):
            return
        signins.record(signins.Outcome.WRONG, request, username=_name(credentials))
        if self.is_locked(request, credentials):
            signins.record(signins.Outcome.LOCKED, request, username=_name(credentials))

    def user_logged_in(self, sender: object, request: HttpRequest, user: User, **more: Any) -> None:
        signins.record(signins.Outcome.SIGNED_IN, request, username=user.get_username())
        signins.mark_entered(request.session, now=timezone.now())

    def user_logged_out(self, sender: object, request: HttpRequest, user: User | None, **more: Any) -> None:
        if user is not None:
            signins.record(signins.Outcome.SIGNED_OUT, request, username=user.get_username())

    def post_save_access_attempt(self, instance: object, **more: Any) -> None:
        """Do nothing: the table of django-axes stays empty."""

    def post_delete_access_attempt(self, instance: object, **more: Any) -> None:
        """Do nothing: the table of django-axes stays empty."""


def _name(credentials: dict[str, Any] | None) -> str:
    return str((credentials or {}).get("username") or "")
