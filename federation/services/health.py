"""Whether the server can do its work, part by part, and what somebody should do where it cannot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError

from federation import storage
from federation.models import Server

BROKER_SECONDS = 2  # to connect to it
START_SECONDS = 10.0  # a page that is opened while everything starts says nothing of the worker yet
WORKER = "Start it: celery -A flsite worker -Q federation."
BEAT = "Start one: celery -A flsite beat."
EMBEDDED = "The worker is a thread of the server process: start that again; its log says why the thread ended."

_started = time.monotonic()  # this process


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the server. `remedy` says what to do; it is empty where all is well."""

    name: str
    detail: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def of_process() -> list[Check]:
    """What this process itself needs to answer requests. Another one, behind the same proxy, may do better.

    A full disk and a silent worker are the same for all of them, and pages that say so are better than none.
    """
    try:
        Server.objects.filter(pk=1).first()
    except (DatabaseError, InterfaceError) as error:
        return [without_database(error), _storage()]
    return [Check("database", "It answers."), _storage()]


def of_system(now: datetime) -> list[Check]:
    """Every part of the server, in the order in which they stand on each other."""
    try:
        row = Server.objects.filter(pk=1).first()
    except (DatabaseError, InterfaceError) as error:
        return [without_database(error), _storage_and_room(), *_broker_alone()]
    return [Check("database", "It answers."), _storage_and_room(), *_work(row, now)]


def troubles(now: datetime) -> list[Check]:
    """What stands in the way of every session, for the pages: they are not there without a database."""
    row = Server.objects.filter(pk=1).first()
    well = (row is not None and row.is_ticking(now)) or time.monotonic() - _started < START_SECONDS
    found = [] if well else list(_work(row, now))
    return [check for check in (_room(), *found) if not check.ok]


def without_database(error: Exception) -> Check:
    """The check that failed with this error."""
    if "no such table" in str(error) or "does not exist" in str(error):
        return Check("database", "It has not got the tables of this version.", "Run manage.py migrate.")
    remedy = "Start it, or correct DATABASE_URL; the server goes on by itself as soon as it answers."
    return Check("database", "It does not answer.", remedy)


def _storage() -> Check:
    try:
        with storage.scratch() as file:
            file.write_bytes(b"room?")
    except OSError as error:
        remedy = f"Let the server's user write in {settings.FL_SCRATCH_DIR}, and see that the disk is there."
        return Check("storage", f"Nothing can be written: {error.strerror}.", remedy)
    return Check("storage", "It can be written.")


def _storage_and_room() -> Check:
    found = _storage()
    return _room() if found.ok else found


def _room() -> Check:
    free = storage.free_bytes()
    if storage.is_full():
        detail = f"{free >> 20} MiB are free; below {storage.room.SPARE_BYTES >> 20} MiB nothing new is taken in."
        return Check("storage", detail, "Make room on the disk; the sessions go on by themselves.")
    return Check("storage", f"{free >> 20} MiB are free.")


def _broker_alone() -> Iterator[Check]:
    if not settings.FL_EMBEDDED:
        yield _broker(waiting_messages())


def _work(row: Server | None, now: datetime) -> Iterator[Check]:
    """The worker, and where they are processes of their own, the beat and the broker."""
    ticking = row is not None and row.is_ticking(now)
    detail = "It ticked a moment ago." if ticking else _silence(row, now)
    if settings.FL_EMBEDDED:
        yield Check("worker", detail, "" if ticking else EMBEDDED)
        return
    waiting = waiting_messages()
    yield _broker(waiting)
    if ticking or waiting is None:  # without a broker neither can be told apart, and neither is at fault
        yield Check("worker", detail, "" if ticking else "Start the broker first.")
        yield Check("beat", detail, "" if ticking else "Start the broker first.")
    elif waiting:  # what the beat sends is not fetched
        yield Check("worker", f"{detail} {waiting} messages wait for one.", WORKER)
        yield Check("beat", "Its messages are in the queue.")
    else:
        yield Check("worker", "No message waits for one.")
        yield Check("beat", f"{detail} No message is in the queue.", BEAT)


def _silence(row: Server | None, now: datetime) -> str:
    if row is None or row.ticked_at is None:
        return "No worker has ever ticked."
    return f"The last tick was at {row.ticked_at:%H:%M:%S} UTC; it is {now:%H:%M:%S} now."


def _broker(waiting: int | None) -> Check:
    if waiting is None:
        remedy = "Start it, or correct REDIS_URL; workers and beat connect again by themselves."
        return Check("broker", "It does not answer.", remedy)
    return Check("broker", "It answers.")


def waiting_messages() -> int | None:
    """How many messages wait for a worker; None where the broker does not answer."""
    with current_app.connection_for_write(connect_timeout=BROKER_SECONDS) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=BROKER_SECONDS)
            return connection.default_channel.queue_declare(settings.CELERY_TASK_DEFAULT_QUEUE).message_count
        except (OperationalError, *connection.connection_errors):
            return None
