"""`GET /api/v1/work`: the long poll in which agents wait, woken the moment a round opens with a seat for them."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.utils import timezone

from federation import parsing, tasks
from federation.api.auth import client_in, principal_of
from federation.api.raw import Exchange
from federation.api.threads import in_thread
from federation.errors import Invalid
from federation.feed import Waiter, feed
from federation.fl import encodings, sampling, strategies, workloads
from federation.fl.version import __version__
from federation.models import Client, GlobalModel, Participation, TrainingSession
from federation.services import clients, models, seats
from federation.services import info as infos

MAX_WAIT = 60.0  # seconds
BUFFERS = "buffers"  # among what a client tells that it understands
REFRESH = 15.0  # seconds after which a held poll is noted as a sign of life again, at most


async def get_work(exchange: Exchange) -> None:
    exchange.extra_headers = {"FL-Server-Version": __version__, "Cache-Control": "no-store"}
    wait = _wait(exchange.query)
    with feed.waiting() as place:
        client, work = await in_thread(_first_look, exchange.headers, place if wait else None)
        if work is None and wait:
            with exchange.going_on_as(principal_of(exchange.headers, client)):
                work = await _unless_gone(exchange, _hold(client, place, wait))
    if work is None:
        await exchange.answer(204)
    else:
        await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(work).encode())


def _wait(query: bytes) -> float:
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("wait", ["30"])[-1]
    wait = parsing.decimal(given)
    if wait is None or not 0 <= wait <= MAX_WAIT:
        raise Invalid(("wait", f"wait is {parsing.shortened(given)}: choose 0 to {MAX_WAIT:.0f} seconds."))
    return wait


def _first_look(headers: dict[str, str], place: Waiter | None) -> tuple[Client, dict[str, Any] | None]:
    client = client_in(headers)
    if place is not None:
        feed.join(place, client.pk)  # before looking, so that nothing falls between
    if client.came_back:
        tasks.advance_all.delay()  # somebody may have waited for one more client
    return client, look(client)


def look(client: Client) -> dict[str, Any] | None:
    """The work that a client should do now."""
    seat = seats.offer(client, now=timezone.now())
    return describe(seat) if seat else None


async def _hold(client: Client, place: Waiter, wait: float) -> dict[str, Any] | None:
    """Wait for work for a client that had none when it joined."""
    end = asyncio.get_running_loop().time() + wait
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.wait_for(place.woken.wait(), min(left, refresh_seconds()))
        except TimeoutError:
            await in_thread(clients.touch, client, now=timezone.now())
        place.woken.clear()
        if work := await in_thread(look, client):
            return work
    return None


def refresh_seconds() -> float:
    """How often a held poll is noted: often enough that a client that waits never counts as offline."""
    return min(REFRESH, settings.FL_ONLINE.total_seconds() / 3)


async def _unless_gone(exchange: Exchange, holding: Any) -> dict[str, Any] | None:
    """Hold the poll until the caller hangs up. Raises the refusal if its right is revoked."""
    poll = asyncio.ensure_future(holding)
    gone = asyncio.ensure_future(_hung_up(exchange))
    await asyncio.wait((poll, gone), return_when=asyncio.FIRST_COMPLETED)
    for task in (poll, gone):
        if not task.done():
            task.cancel()
    await asyncio.gather(poll, gone, return_exceptions=True)
    if not gone.cancelled():
        gone.result()
    return None if poll.cancelled() else poll.result()


async def _hung_up(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


def describe(seat: Participation) -> dict[str, Any]:
    """A seat's work, as the contract has it."""
    round_, session, base = seat.round, seat.round.session, seat.round.base
    strategy = strategies.build(session.strategy, session.strategy_options)
    seed = sampling.client_seed(session.seed, round_.number, seat.client.name, seat.turn)
    return _encoding(session, seat.client, base) | {
        "participation": str(seat.pk),
        "kind": "train",
        "session": {"id": str(session.pk), "name": session.name},
        "round": round_.number,
        "attempt": round_.attempt,
        "workload": {
            "name": session.workload,
            "version": session.workload_version,
            "digest": _workload_digest(session, seat.client),
            "options": session.workload_options,
        },
        "config": session.train | strategy.client_config() | {"seed": seed},
        "base_model": {
            "version": base.version,
            "digest": base.digest,
            "num_bytes": base.num_bytes,
            "url": f"/api/v1/models/{base.digest}",
        },
        "update_url": f"/api/v1/participations/{seat.pk}/update",
        "part_bytes": settings.FL_PART_BYTES,
        "max_put_bytes": settings.FL_MAX_PUT_BYTES,
        "extra_tensors": [],
        "buffers": session.buffers or [],
        "deadline": (seat.deadline or round_.deadline).isoformat(),
    }


def _workload_digest(session: TrainingSession, client: Client) -> str:
    """The digest that the client told of this workload, if it trains the same as the session's; else the session's."""
    told = infos.workload_digest(client.info, session.workload)
    alike = workloads.alike(session.workload, session.workload_digest)
    return told if told in alike else session.workload_digest


def _encoding(session: TrainingSession, client: Client, base: GlobalModel) -> dict[str, Any]:
    """How an update may be encoded; it may always be plain."""
    if session.compression == encodings.NONE.name or _would_spoil(session, client, base):
        return {"encoding": encodings.PLAIN}
    return {"encoding": session.compression, "encoding_options": session.compression_options}


def _would_spoil(session: TrainingSession, client: Client, base: GlobalModel) -> bool:
    """Whether the client, which does not know what a buffer is, would encode one."""
    return bool(session.buffers) and BUFFERS not in client.understands and models.has_float_buffers(session, base)
