"""What client agents call, but for the raw routes (`work`, `progress`, `downloads`, `uploads`)."""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Status

from federation import killpoints, tasks
from federation.api import schemas
from federation.api.auth import ClientAuth
from federation.errors import Invalid
from federation.fl.version import __version__
from federation.killpoints import Point
from federation.models import Client, Participation
from federation.services import clients, info, seats
from federation.services.clients.catalogues import MEMBER
from federation.services.seats import results

router = Router(tags=["agents"], auth=ClientAuth())


class AgentRequest(HttpRequest):
    auth: Client


@router.post("/enroll", auth=None, response={201: schemas.Enrolled})
def enroll(request: HttpRequest, body: schemas.Enrolment, response: HttpResponse) -> Status[dict[str, Any]]:
    """Join by a code. The token is told this once."""
    _refuse_large(body.info)
    client, token = clients.enroll(
        join_code=body.join_code, name=body.name, info=body.info, token=body.token, now=timezone.now()
    )
    response["FL-Server-Version"] = __version__
    transaction.on_commit(tasks.advance_all.delay)  # somebody may have waited for one more client
    return Status(201, {"client_id": str(client.pk), "name": client.name, "token": token})


@router.post("/participations/{id:seat_id}/fail", response=schemas.Empty)
def fail(request: AgentRequest, seat_id: int, body: schemas.Failure) -> dict[str, Any]:
    """Give this seat up, with the reason that the page shows."""
    seat = seats.of(request.auth, seat_id)
    seats.fail(seat, reason=body.reason)
    transaction.on_commit(lambda: tasks.advance.delay(seat.round.session_id))
    return {}


@router.post("/participations/{id:seat_id}/result", response={204: None})
def result(request: AgentRequest, seat_id: int, body: schemas.Result) -> Status[None]:
    """Answer work of the kind `evaluate` with what was measured. The same result again is 204, too."""
    seat = seats.of(request.auth, seat_id)
    if results.receive(seat, body.model_dump(), now=timezone.now()):
        transaction.on_commit(lambda: _advance(seat))
    transaction.on_commit(lambda: killpoints.reached(Point.ANSWER_LOST))
    return Status(204, None)


def _advance(seat: Participation) -> None:
    killpoints.reached(Point.UPDATE_ACCEPTED)
    tasks.advance.delay(seat.round.session_id)


@router.post("/clients/me/log", response=schemas.Empty)
def log(request: AgentRequest, body: schemas.LogLines) -> dict[str, Any]:
    """Send lines of the agent's own log, where the site chose to. The server keeps the last few hundred."""
    clients.add_to_log(request.auth, [(line.time, line.text) for line in body.lines])
    return {}


@router.post("/clients/me/info", response=schemas.Told)
def tell(request: AgentRequest, body: schemas.Telling) -> dict[str, Any]:
    """Say what this machine and its data are now, as at enrolment. Answers what of the data or workloads changed."""
    _refuse_large(body.info)
    return {"changed": clients.tell(request.auth, body.info, now=timezone.now())}


def _refuse_large(given: dict[str, Any]) -> None:
    """The catalogue has a limit of its own."""
    if len(json.dumps({name: told for name, told in given.items() if name != MEMBER})) > info.MAX_BYTES:
        raise Invalid(("info", f"info is larger than {info.MAX_BYTES} bytes."))


@router.post("/clients/me/leave", response=schemas.Empty)
def leave(request: AgentRequest) -> dict[str, Any]:
    """Say goodbye. Open seats are dropped at once; the next call is a return."""
    clients.leave(request.auth)
    transaction.on_commit(tasks.advance_all.delay)
    return {}
