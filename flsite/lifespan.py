"""ASGI's lifespan: a server that speaks it does not start without this version's tables, nor with another data folder
or secret key than the processes beside it.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError

from federation.api.raw import Receive, Scope, Send
from federation.services import deployment
from flsite import first_start


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the server's two messages. A database that is away is no reason not to start: it may come back."""
    while True:
        kind = (await receive())["type"]
        answer: dict[str, Any] = {"type": f"{kind}.complete"}
        if kind == "lifespan.startup" and (sentence := await sync_to_async(_fault)()):
            answer = {"type": f"{kind}.failed", "message": sentence}
        await send(answer)
        if kind == "lifespan.shutdown":
            return


def _fault() -> str:
    try:
        return first_start.unprepared() or deployment.fault()
    except DatabaseError:
        return ""
