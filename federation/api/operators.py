"""What operators and their scripts call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status

from federation import database, feed, parsing, tasks, work
from federation.access import Act
from federation.api import rows, schemas, workloads
from federation.api.auth import operators
from federation.api.schemas import settings
from federation.errors import Invalid, NotFound
from federation.models import Client, Event, Invitation, Metric, Participation, TrainingSession
from federation.services import clients, rounds, sessions
from federation.services.clients import invitations
from federation.services.models import uploads

router = Router(tags=["operators"], auth=operators(Act.SEE))
Row = TypeVar("Row", bound=Model)


class OperatorRequest(HttpRequest):
    auth: User


# ---- sessions


@router.post("/sessions", auth=operators(Act.STEER_SESSIONS), response={201: schemas.SessionOut})
def create_session(request: OperatorRequest, body: schemas.NewSessionOfAnyKind) -> Status[dict[str, Any]]:
    """Make a session, and start it unless `start` is false. With `kind: "evaluate"` it measures one stored model."""
    now, wish = timezone.now(), body.root
    with transaction.atomic():
        if isinstance(wish, schemas.NewEvaluation):
            session = sessions.create_evaluation(_evaluation(wish), by=request.auth, now=now)
        else:
            upload = uploads.stored(wish.initial_model) if wish.initial_model else None
            session = sessions.create(settings.spec_of(wish), by=request.auth, now=now, initial_model=upload)
        if wish.start:
            sessions.start(session, by=request.auth, now=now)
    return Status(201, _moved(session))


def _evaluation(wish: schemas.NewEvaluation) -> sessions.Evaluation:
    client_ids = [int(one) for one in wish.client_ids]
    return sessions.Evaluation(wish.initial_model, client_ids, wish.name, wish.round_seconds, wish.kind)


@router.get("/sessions", response=schemas.Page[schemas.SessionOut])
def list_sessions(request: OperatorRequest, paging: Query[schemas.Paging]) -> dict[str, Any]:
    with database.snapshot():
        page = _page(TrainingSession.objects.order_by("pk"), paging, lambda row: row)
        return page | {"items": rows.sessions(page["items"], now=timezone.now())}


@router.get("/sessions/{id:session_id}", response=schemas.SessionOut)
def get_session(request: OperatorRequest, session_id: int) -> dict[str, Any]:
    with database.snapshot():
        return rows.session(_session(session_id), now=timezone.now())


@router.delete("/sessions/{id:session_id}", auth=operators(Act.DELETE_SESSIONS), response={204: None})
def delete_session(request: OperatorRequest, session_id: int) -> Status[None]:
    """Remove a session that has ended, or a draft, with all that only it needs."""
    sessions.delete(_session(session_id), by=request.auth)
    return Status(204, None)


@router.post("/sessions/{id:session_id}/start", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def start(request: OperatorRequest, session_id: int) -> dict[str, Any]:
    session = _session(session_id)
    sessions.start(session, by=request.auth, now=timezone.now())
    return _moved(session)


@router.post("/sessions/{id:session_id}/pause", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def pause(request: OperatorRequest, session_id: int) -> dict[str, Any]:
    session = _session(session_id)
    sessions.pause(session, by=request.auth)
    return _moved(session)


@router.post("/sessions/{id:session_id}/resume", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def resume(request: OperatorRequest, session_id: int) -> dict[str, Any]:
    session = _session(session_id)
    sessions.resume(session, by=request.auth, now=timezone.now())
    return _moved(session)


@router.post("/sessions/{id:session_id}/cancel", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def cancel(request: OperatorRequest, session_id: int) -> dict[str, Any]:
    session = _session(session_id)
    sessions.cancel(session, by=request.auth, now=timezone.now())
    return _moved(session)


@router.post("/sessions/{id:session_id}/round/finish", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def finish_round(request: OperatorRequest, session_id: int) -> dict[str, Any]:
    """Close the open round now, with the updates that are in. 409 below the quorum."""
    session = _session(session_id)
    rounds.finish(session, by=request.auth.get_username(), now=timezone.now())
    return _moved(session)


@router.post("/sessions/{id:session_id}/round/extend", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def extend_round(request: OperatorRequest, session_id: int, body: schemas.Extension) -> dict[str, Any]:
    session = _session(session_id)
    rounds.extend(session, seconds=body.seconds, by=request.auth.get_username())
    return _moved(session)


@router.post("/sessions/{id:session_id}/round/skip", auth=operators(Act.STEER_SESSIONS), response=schemas.SessionOut)
def skip_client(request: OperatorRequest, session_id: int, body: schemas.Skip) -> dict[str, Any]:
    session = _session(session_id)
    rounds.skip(session, int(body.participation), by=request.auth.get_username())
    return _moved(session)


# ---- what a session has


@router.get("/sessions/{id:session_id}/rounds", response=schemas.Page[schemas.RoundOut])
def list_rounds(request: OperatorRequest, session_id: int, paging: Query[schemas.RoundPaging]) -> dict[str, Any]:
    """Rounds of one kind of work: the session's own, unless `kind` names another."""
    # Joined: in Django 5.2 prefetching a thousand clients by their key is more than SQLite takes.
    seats = Prefetch("seats", Participation.objects.select_related("client", "counted_in"))
    with database.snapshot():
        session = _session(session_id)
        found = session.round_set.filter(kind=_kind(paging.kind or session.kind)).order_by("pk").prefetch_related(seats)
        return _page(found, paging, rows.round_)


@router.get("/sessions/{id:session_id}/models", response=schemas.Page[schemas.ModelOut])
def list_models(request: OperatorRequest, session_id: int, paging: Query[schemas.Paging]) -> dict[str, Any]:
    return _page(_session(session_id).models.order_by("pk").select_related("parent"), paging, rows.model)


@router.get("/sessions/{id:session_id}/events", response=schemas.Page[schemas.EventOut])
def list_events(request: OperatorRequest, session_id: int, paging: Query[schemas.Paging]) -> dict[str, Any]:
    """Here the cursor is the seq."""
    found = list(
        Event.objects.filter(session=_session(session_id), seq__gt=paging.after).order_by("seq")[: paging.limit + 1]
    )
    items = found[: paging.limit]
    return {"items": [feed.as_json(e) for e in items], "next": str(items[-1].seq) if len(found) > len(items) else None}


@router.get("/sessions/{id:session_id}/metrics", response=schemas.Page[schemas.MetricOut])
def list_metrics(request: OperatorRequest, session_id: int, paging: Query[schemas.MetricPaging]) -> dict[str, Any]:
    """Every point of every curve. `format=csv` gives them all in one file."""
    # A raw route answers `format=csv` before it gets here.
    session = _session(session_id)
    found = (
        Metric.objects.filter(session=session, participation__round__kind=session.kind)
        .order_by("pk")
        .select_related("participation__client", "participation__round")
    )
    return _page(found, paging, rows.metric)


# ---- workloads


@router.get("/workloads", response=schemas.Workloads)
def list_workloads(request: OperatorRequest) -> dict[str, Any]:
    """Every workload that a session can use: those of the server, and those that only sites have."""
    with database.snapshot():
        return {"items": workloads.rows(timezone.now())}


# ---- clients


@router.get("/clients", response=schemas.Page[schemas.ClientOut])
def list_clients(request: OperatorRequest, paging: Query[schemas.Paging]) -> dict[str, Any]:
    now = timezone.now()
    return _page(Client.objects.enrolled().order_by("pk"), paging, lambda row: rows.client(row, now=now))


@router.patch("/clients/{id:client_id}", auth=operators(Act.MANAGE_CLIENTS), response=schemas.ClientOut)
def change_client(request: OperatorRequest, client_id: int, body: schemas.ClientChange) -> dict[str, Any]:
    client = _client(client_id)
    if body.tags is not None:
        clients.set_tags(client, body.tags, by=request.auth.get_username())
    if body.enabled is not None:
        clients.set_enabled(client, body.enabled, by=request.auth.get_username())
    transaction.on_commit(tasks.advance_all.delay)
    return rows.client(client, now=timezone.now())


@router.post("/invitations", auth=operators(Act.INVITE), response={201: schemas.Invited})
def create_invitation(request: OperatorRequest, body: schemas.NewInvitation) -> Status[dict[str, Any]]:
    """Make a join code. It is told this once."""
    invitation, code = invitations.create(
        uses=body.uses, expires_in_seconds=body.expires_in_seconds, by=request.auth, now=timezone.now()
    )
    return Status(201, _invited(invitation, code))


@router.post("/clients/{id:client_id}/reissue", auth=operators(Act.REISSUE_TOKENS), response={201: schemas.Invited})
def reissue_client(request: OperatorRequest, client_id: int, body: schemas.Reissue) -> Status[dict[str, Any]]:
    """Make a code that lets this client in again with a new token. Its old one is good until the code is used."""
    invitation, code = invitations.reissue(
        _client(client_id), expires_in_seconds=body.expires_in_seconds, by=request.auth, now=timezone.now()
    )
    return Status(201, _invited(invitation, code))


def _invited(invitation: Invitation, code: str) -> dict[str, Any]:
    return {
        "id": str(invitation.pk),
        "join_code": code,
        "uses": invitation.uses,
        "expires_at": invitation.expires_at,
    }


# ---- helpers


def _session(session_id: int) -> TrainingSession:
    session = TrainingSession.objects.filter(pk=session_id).first()
    if session is None:
        raise NotFound(f"There is no session {session_id}.")
    return session


def _kind(name: str) -> str:
    """Raises Invalid for a kind of work that there is not."""
    if name not in work.KINDS:
        raise Invalid(("kind", f"kind is {parsing.shortened(name)}: choose one of {', '.join(work.KINDS)}."))
    return name


def _client(client_id: int) -> Client:
    client = Client.objects.enrolled().filter(pk=client_id).first()
    if client is None:
        raise NotFound(f"There is no client {client_id}.")
    return client


def _moved(session: TrainingSession) -> dict[str, Any]:
    """The session after an action, which may have made a move due."""
    transaction.on_commit(lambda: tasks.advance.delay(session.pk))
    session.refresh_from_db()
    return rows.session(session, now=timezone.now())


def _page(found: QuerySet[Row], paging: schemas.Paging, show: Callable[[Row], Any]) -> dict[str, Any]:
    """A page of rows ordered by their key, which is the cursor."""
    some: Sequence[Row] = list(found.filter(pk__gt=paging.after)[: paging.limit + 1])
    items = some[: paging.limit]
    return {"items": [show(row) for row in items], "next": str(items[-1].pk) if len(some) > len(items) else None}
