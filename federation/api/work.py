"""`GET /api/v1/work`: the long poll in which agents wait, woken the moment a round opens with a seat for them."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.utils import timezone

from federation import parsing, tasks
from federation import work as kinds
from federation.api.auth import client_in, principal_of
from federation.api.draining import draining
from federation.api.head import Head
from federation.api.raw import Exchange
from federation.api.threads import in_thread
from federation.errors import Invalid, Unavailable
from federation.feed import Waiter, feed
from federation.fl.version import __version__
from federation.models import Client
from federation.services import clients, seats
from federation.services.models import damage
from federation.work.training import SlotsUnreadable

MAX_WAIT = 60.0  # seconds
REFRESH = 15.0  # seconds after which a held poll is noted as a sign of life again, at most


async def get_work(exchange: Exchange) -> None:
    exchange.extra_headers = {"FL-Server-Version": __version__, "Cache-Control": "no-store"}
    wait = _wait(exchange.query)
    with feed.waiting() as place:
        client, work = await in_thread(_first_look, exchange.head, place if wait else None)
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


def _first_look(head: Head, place: Waiter | None) -> tuple[Client, dict[str, Any] | None]:
    client = client_in(head)
    if place is not None:
        feed.join(place, client.pk)  # before looking, so that nothing falls between
    if client.came_back:
        tasks.advance_all.delay()  # somebody may have waited for one more client
    return client, look(client)


def look(client: Client) -> dict[str, Any] | None:
    """The work that a client should do now. Raises Unavailable while a file that belongs to it is made again."""
    seat = seats.offer(client, now=timezone.now())
    try:
        return kinds.describe(seat) if seat else None
    except SlotsUnreadable as error:
        damage.note([str(error)])
        tasks.advance_all.delay()  # it makes the file again
        raise Unavailable(
            "What the strategy keeps with this round's model is missing here and is being made again; ask again later."
        ) from None


async def _hold(client: Client, place: Waiter, wait: float) -> dict[str, Any] | None:
    """Wait for work for a client that had none when it joined."""
    end = asyncio.get_running_loop().time() + wait
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.wait_for(place.woken.wait(), min(left, refresh_seconds()))
            does = look
        except TimeoutError:
            does = _touch_and_look
        place.woken.clear()
        if work := await in_thread(does, client):
            return work
    return None


def _touch_and_look(client: Client) -> dict[str, Any] | None:
    clients.touch(client, now=timezone.now())
    return look(client)


def refresh_seconds() -> float:
    """How often a held poll is noted: often enough that a client that waits never counts as offline."""
    return min(REFRESH, settings.FL_ONLINE.total_seconds() / 3)


async def _unless_gone(exchange: Exchange, holding: Any) -> dict[str, Any] | None:
    """Hold the poll until the caller hangs up or the process is to end. Raises the refusal if its right is revoked."""
    poll = asyncio.ensure_future(holding)
    gone = asyncio.ensure_future(_hung_up(exchange))
    with draining.ends(poll):
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
