"""Celery's tasks: alarm clocks that carry an id. Each may come twice, late or never; the beat makes up for it."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from celery import Task, shared_task
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerAway

from federation import database, foreign, logs, storage
from federation.compiled import Rows
from federation.lifecycle import DAMAGED, LIVE
from federation.models import GlobalModel, TrainingSession
from federation.services import alerts, clients, conversions, models, repair, retention, rounds, server, signins
from federation.services.models import uploads

log = logging.getLogger(__name__)
messengers = ThreadPoolExecutor(2, "messenger")  # a slow webhook holds up neither rounds nor the tick


HALF_UPLOAD_SECONDS = 600.0  # on a full disk, a half upload without progress for this long is removed


class Alarm(Task):
    """A task whose message may be lost: a broker that is away lets no request fail, an absent database no worker."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            if not database.is_away(error):
                raise
            log.warning("the database is away, the next tick makes up for %s: %s", self.name, error)
            close_old_connections()  # a broken one is of no use when the database is back

    def delay(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().delay(*args, **kwargs)
        except BrokerAway as error:
            log.warning("the broker is away, the next tick makes up for %s: %s", self.name, error)


@shared_task(base=Alarm)
def advance(session_id: int) -> None:
    """Make every move that a session is due."""
    session = TrainingSession.objects.filter(pk=session_id).first()
    if session is None:
        return
    with logs.about(session=session_id):
        moved = False
        while rounds.advance(session, now=timezone.now()) or repair.mend(session_id, lambda: advance.delay(session_id)):
            moved = True
        models.request_initial(session, then=lambda: advance.delay(session_id))
        models.request_missing(session_id, then=advance.delay)
        if moved:
            retention.give_up_updates(session_id)


_live = Rows(lambda: TrainingSession.objects.filter(status__in=LIVE).order_by().values_list("pk"))
_damaged = Rows(lambda: GlobalModel.objects.filter(file_status__among=DAMAGED).order_by().values_list("session"))


@shared_task(base=Alarm)
def advance_all() -> None:
    """The beat's tick, and whenever something changed that may concern any session."""
    now = timezone.now()
    _apart(lambda: server.tick(now=now))
    _apart(lambda: clients.announce_offline(now=now))
    for session_id in sorted({pk for (pk,) in (*_live(), *_damaged())}):
        _apart(partial(advance.delay, session_id))
    models.request_missing(then=advance.delay)
    _apart(foreign.look)
    _apart(uploads.convert_waiting)


def _apart(do: Callable[[], None]) -> None:
    """Do one part of a tick. Its failure is logged and stops no other part."""
    try:
        do()
    except Exception as error:
        if database.is_away(error):
            raise
        log.exception("a part of the tick failed")


@shared_task(base=Alarm)
def watch() -> None:
    """Every other second: what the alert rules find, and whom to tell; and whether files have to go at once."""
    if storage.is_nearly_full():  # rounds of a tenth of a second leave a hundred megabytes in a minute
        expire.delay()
    now = timezone.now()
    alerts.evaluate(now=now)
    for delivery_id in alerts.due(now=now):
        messengers.submit(_deliver, delivery_id)


def _deliver(delivery_id: int) -> None:
    try:
        alerts.deliver(delivery_id, now=timezone.now())
    except Exception:  # of a thread that nobody waits for; the row says that it is still to be sent
        log.exception("delivery %s failed", delivery_id)
    finally:
        connection.close()


@shared_task(base=Alarm)
def expire() -> None:
    """Once a minute: the files that sessions at work need no longer."""
    retention.expire(TrainingSession.objects.filter(status__in=LIVE))
    storage.spare.drop()
    if storage.is_full():  # make room with what can be made again or was given up
        storage.spare.drop(unused_seconds=0)
        conversions.sweep(unused_seconds=0)
        storage.sweep_uploads(abandoned_seconds=HALF_UPLOAD_SECONDS)


@shared_task(base=Alarm)
def prune() -> None:
    """Once an hour: what killed processes left, and what is kept no longer."""
    storage.sweep()
    conversions.sweep()
    now = timezone.now()
    retention.prune(now=now, part=server.next_part() % retention.PARTS)
    uploads.forget_abandoned(now=now)
    signins.prune(now=now)
