"""The tail of an agent's own log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from federation.models import Client, ClientLog

log = logging.getLogger(__name__)


LOG_LINES = 300  # kept of what an agent sends


LOG_TEXT = 500  # characters of a line that are kept


LOG_CHARACTERS = 60_000  # of all lines together


@transaction.atomic
def add_to_log(client: Client, lines: Iterable[tuple[datetime, str]]) -> None:
    """Keep the tail of what an agent tells of itself. Whatever it sends, a client's log stays small and printable."""
    ClientLog.objects.get_or_create(client=client)
    log = ClientLog.objects.select_for_update(of=("self",)).get(client=client)
    fresh = [[time.isoformat(), _printable(text)] for time, text in lines]
    log.lines = _tail([*log.lines, *fresh][-LOG_LINES:])
    log.updated_at = timezone.now()
    log.save(update_fields=["lines", "updated_at"])


def _tail(lines: list[list[str]]) -> list[list[str]]:
    """As many of the last lines as LOG_CHARACTERS allows."""
    room = LOG_CHARACTERS
    for number, (_, text) in enumerate(reversed(lines)):
        room -= len(text)
        if room < 0:
            return lines[-number:]
    return lines


def _printable(text: str) -> str:
    shown = "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text[: LOG_TEXT + 1])
    return shown if len(shown) <= LOG_TEXT else f"{shown[: LOG_TEXT - 1]}…"
