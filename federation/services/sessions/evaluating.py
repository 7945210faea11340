"""Evaluation sessions: some sites measure one stored model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Case, Q, When

from federation import events, storage
from federation.errors import Invalid
from federation.lifecycle import FileStatus, RoundFailure, WorkKind
from federation.models import Client, Event, GlobalModel, ServedWorkload, TrainingSession
from federation.services import models
from federation.services.people import name_of
from federation.services.sessions.steering import start
from federation.session_settings import ROUND_SECONDS, SETTINGS
from federation.setting_kinds import limits

if TYPE_CHECKING:
    from django.contrib.auth.models import User

NAME_LENGTH = 100
USABLE = (FileStatus.STORED, FileStatus.DAMAGED)  # a damaged file is made again


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is to be measured, where. name: empty for one that is made from the model's.

    kind: of the work, which is answered with numbers. of: whose model, of several that are alike.
    """

    digest: str
    client_ids: Sequence[int] = ()  # empty: every client that evaluates
    name: str = ""
    round_seconds: int = ROUND_SECONDS
    kind: str = WorkKind.EVALUATE.value
    of: int | None = None  # the model's row


@storage.keeping()  # the model's file
@transaction.atomic
def create_evaluation(wish: Evaluation, *, by: User | None, now: datetime) -> TrainingSession:
    """Make a draft that measures one stored model once. Raises Invalid naming every field that is not allowed."""
    source = _stored(wish)
    if found := [*_problems(wish, source), *_bad_clients(wish, source)]:
        raise Invalid(*found)
    assert source is not None
    session = TrainingSession.objects.create(
        **_copied(source.session),
        kind=wish.kind,
        name=" ".join(wish.name.split()) or f"{source.session.name[:70]}, v{source.version} evaluated",
        rounds=1,
        max_retries=0,
        on_round_failure=RoundFailure.STOP,
        round_seconds=wish.round_seconds,
        client_ids=sorted(set(wish.client_ids)),
        created_at=now,
        created_by=by,
    )
    events.record(session.pk, Event.Kind.SESSION_CREATED, name=session.name, by=name_of(by), work=session.kind)
    models.adopt(session, source, with_slots=False)
    return session


@storage.keeping()
@transaction.atomic
def evaluate(model: GlobalModel, clients: Sequence[Client] = (), *, by: User | None, now: datetime) -> TrainingSession:
    """Have a model measured now, by these clients or by all that evaluate. Raises Invalid as `create_evaluation`."""
    wish = Evaluation(model.digest, [client.pk for client in clients], of=model.pk)
    session = create_evaluation(wish, by=by, now=now)
    start(session, by=by, now=now)
    return session


def _stored(wish: Evaluation) -> GlobalModel | None:
    """A model of this digest whose file can be used, or another one of it: the one that is meant, or a training's."""
    rows = GlobalModel.objects.filter(digest=wish.digest).select_related("session", "session__start_from")
    first = (Q(file_status__in=USABLE), Q(pk=wish.of or 0), Q(session__kind=WorkKind.TRAIN))
    return rows.order_by(*(Case(When(one, then=0), default=1) for one in first), "pk").first()


def _copied(session: TrainingSession) -> dict[str, object]:
    """What a model is of, so that a site can measure it."""
    workload = ("workload", "workload_version", "workload_options", "workload_digest", "declaration", "equal_digests")
    return {name: getattr(session, name) for name in (*workload, "train", "seed", "main_measure", "stays", "frozen")}


def _problems(wish: Evaluation, source: GlobalModel | None) -> Iterator[tuple[str, str]]:
    if len(wish.name) > NAME_LENGTH:
        yield "name", f"The name has {len(wish.name)} characters: use up to {NAME_LENGTH}."
    low, high = limits(SETTINGS["round_seconds"])
    if not low <= wish.round_seconds <= high:
        yield "round_seconds", f"round_seconds is {wish.round_seconds}: choose {low} to {high}."
    if source is None:
        yield "initial_model", f"There is no model with the digest {wish.digest[:12]}…."
    elif source.file_status not in USABLE:
        yield "initial_model", f"The file of that model is {source.file_status}; choose one whose file is there."


def _bad_clients(wish: Evaluation, source: GlobalModel | None) -> Iterator[tuple[str, str]]:
    known = {client.pk: client for client in Client.objects.enrolled().filter(pk__in=wish.client_ids)}
    told = _kinds_told(source.session) if source else {}
    for client_id in wish.client_ids:
        client = known.get(client_id)
        if client is None:
            yield "client_ids", f"There is no client {client_id}."
        elif wish.kind not in told.get(client_id, client.kinds):
            yield "client_ids", f"The agent of {client.name} does not {wish.kind}. Choose another client."


def _kinds_told(session: TrainingSession) -> dict[int, list[str]]:
    """The kinds of work that clients do with a workload that only they have."""
    rows = ServedWorkload.objects.filter(name=session.workload, declaration__isnull=False)
    return dict(rows.values_list("client_id", "declaration__kinds")) if session.is_of_sites else {}
