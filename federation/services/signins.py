"""The record of sign-ins and tries, and who must wait after too many wrong passwords."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from federation import addresses
from federation.models import SignIn

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest

log = logging.getLogger(__name__)

COOL_OFF = timedelta(minutes=15)
WRONG_OF_ONE = 5  # wrong passwords for one name from one address
WRONG_OF_ADDRESS = 50  # wrong passwords, or wrong API keys, from one address
NAME_CHARACTERS = 150
KEPT, KEPT_FOR = 20_000, timedelta(days=90)
PRUNED_EVERY = 500  # rows
ENTERED = "password_entered_at"  # in the session

Outcome = SignIn.Outcome
RIGHT = (Outcome.SIGNED_IN, Outcome.CONFIRMED)


def address_of(request: HttpRequest) -> str:
    """Where a request comes from. Behind a proxy only the last address of X-Forwarded-For is the proxy's own."""
    told = str(request.META.get("REMOTE_ADDR") or "")
    if settings.FL_BEHIND_PROXY:
        told = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or told
    return addresses.network(told) or ""


def record(outcome: SignIn.Outcome, request: HttpRequest, *, username: str = "", now: datetime | None = None) -> None:
    """Record it in the table and in the log."""
    address = address_of(request)
    browser = request.META.get("HTTP_USER_AGENT", "").replace("\0", "")[:200]
    row = SignIn.objects.create(
        time=now or timezone.now(),
        outcome=outcome,
        username=username[:NAME_CHARACTERS],
        address=address,
        browser=browser,
    )
    level = logging.INFO if outcome in (*RIGHT, Outcome.SIGNED_OUT) else logging.WARNING
    log.log(level, "%s: %r from %s", outcome.label, row.username, address or "an unknown address")
    if row.pk % PRUNED_EVERY == 0:
        prune(now=row.time)


def waits(username: str, address: str, *, now: datetime) -> timedelta | None:
    """How long this name must wait at this address after too many wrong passwords; None if it may try.

    Only the pair is locked, so strangers elsewhere keep nobody out. An address that tries many names is locked for all
    of them.
    """
    wrong = SignIn.objects.filter(address=address, outcome=Outcome.WRONG, time__gt=now - COOL_OFF)
    username = username[:NAME_CHARACTERS]
    mine = wrong.filter(username=username)
    right = SignIn.objects.filter(address=address, username=username, outcome__in=RIGHT)
    if last := right.values_list("pk", flat=True).first():
        mine = mine.filter(pk__gt=last)
    times = [_nth(mine, WRONG_OF_ONE), _nth(wrong, WRONG_OF_ADDRESS)]
    ends = [time + COOL_OFF for time in times if time is not None]
    return max(ends) - now if ends else None


def _nth(rows: QuerySet[SignIn], number: int) -> datetime | None:
    """The time of the n-th newest row. While that is recent, there are too many."""
    return rows.order_by("-time").values_list("time", flat=True)[number - 1 : number].first()


def note_wrong_key(request: HttpRequest, *, now: datetime) -> timedelta | None:
    """Count an invalid API key. Returns how long to wait if too many came from this address.

    A valid key is never refused for that.
    """
    wrong = SignIn.objects.filter(address=address_of(request), outcome=Outcome.WRONG_KEY, time__gt=now - COOL_OFF)
    if (since := _nth(wrong, WRONG_OF_ADDRESS)) is not None:
        return since + COOL_OFF - now
    record(Outcome.WRONG_KEY, request, now=now)
    return None


def prune(*, now: datetime) -> int:
    """Remove old rows, and the oldest if there are too many. Returns how many."""
    old = SignIn.objects.filter(time__lt=now - KEPT_FOR)
    newest = SignIn.objects.order_by("-pk").values_list("pk", flat=True)
    last = newest[KEPT : KEPT + 1].first()
    count, _ = old.delete()
    if last is not None:
        count += SignIn.objects.filter(pk__lte=last).delete()[0]
    return count


# ---- the password, entered again


def mark_entered(session: SessionBase, *, now: datetime) -> None:
    session[ENTERED] = now.timestamp()


def entered_at(session: SessionBase) -> datetime | None:
    """When the user of this session last entered the password."""
    entered = session.get(ENTERED)
    return datetime.fromtimestamp(entered, tz=timezone.get_default_timezone()) if isinstance(entered, float) else None
