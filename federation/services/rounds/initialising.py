"""Version 0 from a site: one client sends the weights of a workload that the server does not have.

If it fails, another client is asked, as often as the session retries a round.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from federation import events, storage
from federation.errors import StorageFull
from federation.fl.files import uploaded
from federation.fl.weights import WeightsError
from federation.lifecycle import Outcome, RoundStatus, SeatStatus, SessionStatus, WorkKind
from federation.models import Client, Event, Participation, Round, ServedWorkload, TrainingSession
from federation.reasons import misfit
from federation.services import models, seats, server
from federation.services.rounds import drawing
from federation.services.rounds.candidates import Pool, pool
from federation.services.rounds.closing import fail
from federation.services.rounds.moves import entry, move
from federation.services.rounds.opening import next_try_at
from federation.work import initialisation

log = logging.getLogger(__name__)


def open_for(session: TrainingSession, now: datetime) -> bool:
    """Ask a free client for version 0, if only a site can make it. False if nobody is asked now."""
    if not initialisation.is_needed(session) or session.models.exists() or not server.may_open(now):
        return False
    last = _tries(session).last()
    if last is not None and now < next_try_at(last, now):
        return False
    client = _chosen(session, now)
    if client is None:
        return False
    try:
        with transaction.atomic():
            return _seat(session, client, last.attempt + 1 if last else 1, now)
    except IntegrityError:  # another worker opened it, or gave the client a seat elsewhere
        return False


def _tries(session: TrainingSession) -> QuerySet[Round]:
    return session.round_set.filter(kind=WorkKind.INITIALISE).order_by("attempt")


def _chosen(session: TrainingSession, now: datetime) -> Client | None:
    """The first client by name that has the workload. Those that were asked before come last."""
    free = who_can_begin(session, now).free
    asked = set(Participation.objects.filter(round__in=_tries(session)).values_list("client_id", flat=True))
    return min(free, key=lambda one: (one.pk in asked, one.name), default=None)


def who_can_begin(session: TrainingSession, now: datetime) -> Pool:
    """The clients that could send version 0: those that have the workload and do this kind of work."""
    found = pool(now).of(session, WorkKind.INITIALISE)
    have = set(ServedWorkload.objects.filter(name=session.workload).values_list("client_id", flat=True))
    able, free = ([one for one in clients if one.pk in have] for clients in (found.clients, found.free))
    return replace(found, clients=able, free=free)


def _seat(session: TrainingSession, client: Client, attempt: int, now: datetime) -> bool:
    if not drawing.still_online([client], now):
        return False
    running = TrainingSession.objects.filter(pk=session.pk, status=SessionStatus.RUNNING)
    if not running.update(idle_since=None) or session.models.exists():  # asked again: another worker was faster
        transaction.set_rollback(True)
        return False
    deadline = now + timedelta(seconds=session.round_seconds)
    which = {"kind": WorkKind.INITIALISE, "number": 0, "attempt": attempt}
    round_ = Round.objects.create(session=session, opened_at=now, deadline=deadline, **which)
    seats.invite(round_, [client])
    told = {"deadline": deadline.isoformat(), "quorum": 1, "clients": [events.reference(client)]}
    events.record_all(session.pk, [entry(round_, Event.Kind.ROUND_OPENED, **told)])
    return True


def make(round_: Round, now: datetime) -> bool:
    """Publish version 0 from the file that the client sent. Done twice, the second time changes nothing."""
    seat = round_.seats.filter(status=SeatStatus.REPORTED).select_related("client").get()
    with storage.scratch() as out:
        try:
            storage.require_room(seat.num_bytes)
            with storage.local(seat.digest) as sent, storage.refusing_when_full():
                digest, buffers = uploaded.rewrite(sent, out)
        except StorageFull:
            log.warning("the initial model of session %s waits: the disk is full", round_.session_id)
            return False
        except (OSError, WeightsError) as error:
            return fail(round_, reason=misfit(f"The file of {seat.client.name} cannot be read: {error}"), now=now)
        num_bytes = out.stat().st_size
        with storage.keeping():
            storage.put(out, digest)
            try:
                return _publish(round_, seat, models.SiteModel(digest, num_bytes, buffers), now)
            except models.Unfit as error:
                return fail(round_, reason=misfit(str(error)), now=now)


@transaction.atomic
def _publish(round_: Round, seat: Participation, model: models.SiteModel, now: datetime) -> bool:
    if not move(round_, RoundStatus.COMPLETED, outcome=Outcome.MODEL, closed_at=now):
        return False
    Participation.objects.filter(pk=seat.pk).update(status=SeatStatus.AGGREGATED)
    TrainingSession.objects.filter(pk=round_.session_id).update(idle_since=now)
    models.publish_from_site(round_.session, model, now=now)
    seconds = (now - round_.opened_at).total_seconds()
    events.record_all(round_.session_id, [entry(round_, Event.Kind.ROUND_COMPLETED, updates=1, seconds=seconds)])
    return True
