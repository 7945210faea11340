"""The rows that a long history leaves, written at once: one session that ended, and copies of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Field, ForeignKey, Max, Model

from federation.lifecycle import FileStatus, Origin, Outcome, RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, Event, GlobalModel, Metric, Participation, Round, TrainingSession

COPIED: tuple[type[Model], ...] = (TrainingSession, Round, GlobalModel, Participation, Metric, Event)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
AT_ONCE = 500  # rows of one statement


def write(session: TrainingSession, clients: list[Client], *, rounds: int, sessions: int, now: datetime) -> None:
    """Let a draft have ended yesterday after so many rounds of a minute, in each of which all clients reported.

    Then add copies of it, each a day older than the one before, until there are so many sessions.
    """
    _fill(session, clients, rounds, now - DAY)
    more(session, sessions=sessions)


def more(session: TrainingSession, *, sessions: int, after: int = 1) -> None:
    """Add copies until there are so many sessions in place of `after`."""
    offsets = {model: _last_key(model, session) for model in COPIED}
    for number in range(after, sessions):
        _copy(session, number, offsets)


def _fill(session: TrainingSession, clients: list[Client], rounds: int, ended: datetime) -> None:
    began = ended - rounds * MINUTE
    session.models.all().delete()
    session.events.all().delete()
    models = GlobalModel.objects.bulk_create(_model(session, version, began) for version in range(rounds + 1))
    made = Round.objects.bulk_create(_round(session, model, began) for model in models[:-1])
    for model, round_ in zip(models[1:], made, strict=True):
        model.round, model.parent = round_, round_.base_model
    GlobalModel.objects.bulk_update(models[1:], ["round", "parent"], batch_size=AT_ONCE)
    seats = [_seat(round_, client, place) for round_ in made for place, client in enumerate(clients)]
    Participation.objects.bulk_create(seats, batch_size=AT_ONCE)
    points = [_point(session, seat, step) for seat in seats for step in (1, 2)]
    Metric.objects.bulk_create(points, batch_size=AT_ONCE)
    entries = [_entry(session, seat, seq) for seq, seat in enumerate(seats, start=1)]
    Event.objects.bulk_create(entries, batch_size=AT_ONCE)
    times: dict[str, Any] = {"created_at": began, "started_at": began, "ended_at": ended, "compacted_at": ended}
    TrainingSession.objects.filter(pk=session.pk).update(
        status=SessionStatus.COMPLETED, rounds=rounds, last_seq=len(entries), points_reported=len(points), **times
    )


def _model(session: TrainingSession, version: int, began: datetime) -> GlobalModel:
    return GlobalModel(
        session=session,
        version=version,
        origin=Origin.ROUND if version else Origin.SEED,
        digest=f"{version:064x}",
        num_bytes=40,
        metrics={"loss": 1 / (version + 1), "accuracy": 0.5},
        evaluated_at=began + version * MINUTE,
        created_at=began + version * MINUTE,
    )


def _round(session: TrainingSession, base: GlobalModel, began: datetime) -> Round:
    opened = began + base.version * MINUTE
    return Round(
        session=session,
        number=base.version + 1,
        status=RoundStatus.COMPLETED,
        outcome=Outcome.MODEL,
        base_model=base,
        opened_at=opened,
        deadline=opened + 10 * MINUTE,
        collected_at=opened + 0.8 * MINUTE,
        closed_at=opened + 0.9 * MINUTE,
        metrics={"train_loss": 1 / (base.version + 1)},
    )


def _seat(round_: Round, client: Client, place: int) -> Participation:
    return Participation(
        round=round_,
        client=client,
        seat=place,
        status=SeatStatus.AGGREGATED,
        base_version=round_.number - 1,
        fraction=1.0,
        taken_at=round_.opened_at,
        training_at=round_.opened_at,
        trained_at=round_.collected_at,
        reported_at=round_.collected_at,
        digest=f"{round_.number:032x}{place:032x}",
        num_bytes=40,
        file_status=FileStatus.REMOVED,
        num_examples=100,
        counted_examples=100,
        metrics={"train_loss": 0.5},
        num_points=2,
        norm=1.0,
        cosine=0.9,
    )


def _point(session: TrainingSession, seat: Participation, step: int) -> Metric:
    return Metric(
        session=session, participation=seat, name="train_loss", step=step, value=1 / step, time=seat.reported_at
    )


def _entry(session: TrainingSession, seat: Participation, seq: int) -> Event:
    client = {"id": seat.client_id, "name": seat.client.name}
    payload = {"client": client, "round": seat.round.number, "num_examples": 100}
    return Event(session=session, seq=seq, kind=Event.Kind.UPDATE_RECEIVED, payload=payload, time=seat.reported_at)


# ---- copies, made by the database


def _last_key(model: type[Model], session: TrainingSession) -> int:
    """Of the session's own rows. Rows that were there before it have smaller keys, so copies meet no other key."""
    own = {TrainingSession: {"pk": session.pk}, Participation: {"round__session": session}}
    rows = model._default_manager.filter(**own.get(model, {"session": session}))
    return int(rows.aggregate(last=Max("pk"))["last"] or 0)


def _copy(session: TrainingSession, number: int, offsets: dict[type[Model], int]) -> None:
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for model in COPIED:
            fields = model._meta.concrete_fields
            columns = ", ".join(_quoted(field.column) for field in fields)
            values = ", ".join(_value(field, number, offsets) for field in fields)
            table, where = _quoted(model._meta.db_table), _of(model, session)
            cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {where}")


def _value(field: Field[Any, Any], number: int, offsets: dict[type[Model], int]) -> str:
    """Of a copied row: keys and files of its own, and earlier times."""
    column = _quoted(field.column)
    owner: Any = field.model if field.primary_key else field.related_model if isinstance(field, ForeignKey) else None
    if owner in offsets:
        return f"{column} + {number * offsets[owner]}"
    if isinstance(field, DateTimeField):
        return _earlier(column, number)
    return f"'{number:08x}' || substr({column}, 9)" if field.name == "digest" else column


def _earlier(column: str, days: int) -> str:
    if connection.vendor == "sqlite":
        return f"strftime('%Y-%m-%d %H:%M:%f', {column}, '-{days} days')"
    return f"{column} - interval '{days} days'"


def _of(model: type[Model], session: TrainingSession) -> str:
    if model is TrainingSession:
        return f"id = {session.pk}"
    if model is Participation:
        return f"round_id IN (SELECT id FROM {_quoted(Round._meta.db_table)} WHERE session_id = {session.pk})"
    return f"session_id = {session.pk}"


def _quoted(name: str) -> str:
    return str(connection.ops.quote_name(name))
