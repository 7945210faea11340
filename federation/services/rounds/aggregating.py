"""From updates to the next model, by whichever worker claims it; nothing made of damaged files is published."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from federation import events, killpoints, reasons, storage
from federation.errors import StorageFull
from federation.killpoints import Point
from federation.lifecycle import RoundStatus
from federation.models import Event, Participation, Round
from federation.services import privacy, seats, server
from federation.services.models import building, damage
from federation.services.rounds import leaving_out
from federation.services.rounds.closing import fail
from federation.services.rounds.moves import move
from federation.services.rounds.publishing import publish
from federation.services.rounds.withdrawing import judge_again, withdraw_all
from federation.services.seats import late, losses

log = logging.getLogger(__name__)

Payload = dict[str, Any]
Clock = Callable[[], datetime]
LEASE = timedelta(seconds=10)  # renewed between blocks; a worker that dies loses it
RENEW = timedelta(seconds=2)
MOST_CLAIMS = 20  # of one round, by workers that were killed before they ended


class LeaseLost(Exception):
    """Another worker took the aggregation over, or the round was cancelled."""


def claim(round_: Round, *, now: datetime) -> str | None:
    """Take the aggregation of a round; None while another worker holds it. A worker that dies loses it."""
    token = secrets.token_hex(16)
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Round.objects.filter(free, pk=round_.pk, status=RoundStatus.AGGREGATING)
    return token if rows.update(lease_token=token, lease_until=now + LEASE, claims=F("claims") + 1) else None


def free_leases() -> None:
    """Give up every lease: called by a server that is the only one, at its start."""
    Round.objects.filter(status=RoundStatus.AGGREGATING).update(lease_until=None)


class Lease:
    """Keeps a claim alive between blocks."""

    def __init__(self, round_: Round, token: str) -> None:
        self.round, self.token, self.renewed = round_, token, timezone.now()

    def renew(self) -> None:
        """Raises LeaseLost if the round is no longer ours."""
        killpoints.reached(Point.HALF_AGGREGATED)
        now = timezone.now()
        if now - self.renewed < RENEW:
            return
        rows = Round.objects.filter(pk=self.round.pk, status=RoundStatus.AGGREGATING, lease_token=self.token)
        if not rows.update(lease_until=now + LEASE):
            raise LeaseLost
        server.tick(now=now)  # the tick itself may have to wait behind this aggregation
        self.renewed = now


def clock(now: datetime) -> Clock:
    """A clock that shows `now` at this moment: an aggregation may take minutes."""
    began = monotonic()
    return lambda: now + timedelta(seconds=monotonic() - began)


def aggregate(round_: Round, token: str, *, now: datetime) -> bool:
    """Build the next global model from the reported updates and publish it. False if it could not be done now."""
    if round_.claims >= MOST_CLAIMS:
        return fail(round_, reason=reasons.killed(MOST_CLAIMS), now=now, lease_token=token)
    try:
        return _aggregate(round_, token, clock(now))
    except LeaseLost:
        return False
    except StorageFull:
        log.warning("round %s of session %s waits: the disk is full", round_.number, round_.session_id)
        _ended(round_, token)
        return False
    except Exception:
        _ended(round_, token, lease_until=None)
        raise


def _ended(round_: Round, token: str, **fields: None) -> None:
    """Take off the claim: the worker lived to the end of its try."""
    ours = Round.objects.filter(pk=round_.pk, status=RoundStatus.AGGREGATING, lease_token=token, claims__gt=0)
    ours.update(claims=F("claims") - 1, **fields)


# The fields that are usually read of each seat; the rest is fetched if something is damaged.
_COUNTED = (
    *("status", "digest", "num_examples", "counted_examples", "staleness", "metrics", "counted_in"),
    *("update_norm", "flags"),
    *("client__name", "client__enabled", "client__removed_at", "round__number", "round__attempt", "round__session"),
    *("round__base_model__digest",),
)


def _aggregate(round_: Round, token: str, time: Clock) -> bool:
    killpoints.reached(Point.AGGREGATION_CLAIMED)
    counted, began, lease = list(building.counted(round_).only(*_COUNTED)), time(), Lease(round_, token)
    if withdraw_all(counted):
        return True
    with (
        storage.scratch() as out,
        storage.scratch() as out_slots,
        storage.Check(building.files(round_, counted)) as check,
    ):
        result = leaving_out.make(round_, counted, out, out_slots, lease.renew)
        if damaged := check.damaged(lease.renew):
            return _mend(round_, token, counted, damaged, time())
        made = result.made
        if made is None:
            return _fail(round_, token, result, time())
        spent = privacy.published(round_, made.released)
        with storage.keeping():
            storage.put(out, made.digest)
            if made.slots_digest:
                storage.put(out_slots, made.slots_digest)
            killpoints.reached(Point.AGGREGATED)
            round_.privacy = spent
            published = publish(round_, token, result.counted, made, result.left_out, began=began, now=time())
    killpoints.reached(Point.PUBLISHED)
    return published


@transaction.atomic
def _fail(round_: Round, token: str, result: leaving_out.Result, now: datetime) -> bool:
    leaving_out.record(round_, result.left_out)
    assert result.failure is not None
    failed = fail(round_, reason=result.failure, now=now, lease_token=token)
    if not failed:  # another worker has the claim and decides itself
        transaction.set_rollback(True)
    return failed


def _mend(round_: Round, token: str, counted: Sequence[Participation], damaged: set[str], now: datetime) -> bool:
    """Nothing made of damaged files is published. Updates are asked for again; models are made again by `repair`."""
    of_seats = [seat for seat in counted if seat.digest in damaged]
    own = [seat for seat in of_seats if seat.round_id == round_.pk]
    late.lose([seat for seat in of_seats if seat.round_id != round_.pk])
    if of_models := damaged - {seat.digest for seat in of_seats}:
        damage.note(of_models)
    if of_models or not own:
        _ended(round_, token, lease_until=None)
        if not of_models:  # without the late ones it can be aggregated at once, or it collects again
            judge_again(round_)
        return not of_models
    return reopen(round_, token, own, now=now)


@transaction.atomic
def reopen(round_: Round, token: str, damaged: Sequence[Participation], *, now: datetime) -> bool:
    """Collect again, from the clients whose updates were damaged. The others' stay."""
    deadline = max(round_.deadline, now + timedelta(seconds=round_.session.round_seconds))
    free = {"lease_token": "", "lease_until": None, "collected_at": None, "deadline": deadline, "claims": 0}
    if not move(round_, RoundStatus.COLLECTING, guard={"lease_token": token}, **free):
        return False
    entries, asked = [], []
    for seat in damaged:
        missing = not storage.exists(seat.digest)
        storage.set_aside(seat.digest)  # before the client can send it again
        again = seats.ask_again(seat, now=now)
        then = "asked_again" if again else "lost"
        entries.append((Event.Kind.STORAGE_DAMAGED, losses.of_update(seat, missing, then)))
        asked += [events.reference(seat.client)] if again else []
    where: Payload = {"round": round_.number, "attempt": round_.attempt, "deadline": deadline.isoformat()}
    events.record_all(round_.session_id, [*entries, (Event.Kind.ROUND_REOPENED, where | {"clients": asked})])
    return True
