"""Training sessions: created from a checked specification, started, paused, resumed, cancelled, gone on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F

from federation import events, storage, tags
from federation.errors import Conflict, Invalid
from federation.fl import encodings, strategies, workloads
from federation.fl import options as declared
from federation.fl.defences import Defence
from federation.fl.options import Option, OptionError
from federation.lifecycle import ENDED, LIVE, SESSION_MOVES, FileStatus, SessionStatus
from federation.models import Event, GlobalModel, Participation, ServerEvent, TrainingSession
from federation.services import models, retention, rounds
from federation.session_settings import CHOICES, LIMITS, TRAIN, Spec

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def check(spec: Spec) -> Spec:
    """The specification with every option filled in. Raises Invalid naming every field that cannot be."""
    errors: list[tuple[str, str]] = []
    name = " ".join(spec.name.split())
    if not 1 <= len(name) <= 100:
        errors.append(("name", "A session needs a name of 1 to 100 characters."))
    errors += _out_of_range(spec)
    if spec.cohort_size is not None and spec.quorum > spec.cohort_size:
        errors.append(("quorum", f"{spec.quorum} can never be reached: {spec.cohort_size} clients are asked."))
    for one, choices in CHOICES.items():
        if (chosen := getattr(spec, one)) not in choices.values:
            errors.append((one, f"{one} is {chosen!r}: choose one of {', '.join(choices.values)}."))
    client_tags = _tags(spec, errors)
    if unknown := [name for name in spec.defences if name not in set(Defence)]:
        errors.append(("defences", f"{unknown[0]!r} is no defence. Choose some of {', '.join(Defence)}, or none."))
    workload_options, train = dict(spec.workload_options), dict(spec.train)
    strategy_options = dict(spec.strategy_options)
    try:
        workload = workloads.get(spec.workload)
        workload_options = _checked(spec.workload_options, workload.options, "workload.options", errors)
        train = _checked(dict(workload.train_defaults) | train, TRAIN, "train", errors)
    except OptionError as error:
        errors.append(("workload.name", str(error)))
    if spec.strategy in strategies.STRATEGIES:
        known = strategies.STRATEGIES[spec.strategy]
        strategy_options = _checked(spec.strategy_options, known.options, "strategy.options", errors)
    else:
        errors.append(("strategy.name", _unknown_strategy(spec.strategy)))
    compression_options = _compression(spec, errors)
    if not errors:
        errors += _bad_start(spec, workload_options)
    if errors:
        raise Invalid(*errors)
    return replace(
        spec,
        name=name,
        client_tags=client_tags,
        defences=tuple(defence.value for defence in Defence if defence in spec.defences),
        train=train,
        workload_options=workload_options,
        strategy_options=strategy_options,
        compression_options=compression_options,
    )


def _tags(spec: Spec, errors: list[tuple[str, str]]) -> tuple[str, ...]:
    try:
        return tuple(tags.check(spec.client_tags, field="client_tags"))
    except Invalid as refusal:
        errors += refusal.errors
        return ()


def _out_of_range(spec: Spec) -> list[tuple[str, str]]:
    return [
        (name, f"{name} is {value}: choose {low} to {high}.")
        for name, (low, high) in LIMITS.items()
        if (value := getattr(spec, name)) is not None and not low <= value <= high
    ]


def _checked(
    given: Mapping[str, Any], known: tuple[Option, ...], what: str, errors: list[tuple[str, str]]
) -> dict[str, Any]:
    try:
        return declared.check(given, known, what)
    except OptionError as error:
        errors.append((f"{what}.{error.field}", str(error)))
        return dict(given)


def _compression(spec: Spec, errors: list[tuple[str, str]]) -> dict[str, Any]:
    if spec.compression in encodings.ENCODINGS:
        known = encodings.ENCODINGS[spec.compression]
        return _checked(spec.compression_options, known.options, "compression.options", errors)
    allowed = ", ".join(encodings.ENCODINGS)
    errors.append(("compression.name", f"There is no compression {spec.compression!r}. Choose one of: {allowed}."))
    return {}


def _unknown_strategy(name: str) -> str:
    return f"There is no strategy {name!r}. Choose one of: {', '.join(sorted(strategies.STRATEGIES))}."


def _bad_start(spec: Spec, workload_options: Mapping[str, Any]) -> list[tuple[str, str]]:
    if spec.start_from is None:
        return []
    session_id, version = spec.start_from
    model = _model(spec.start_from)
    if model is None:
        return [("start_from", f"Session {session_id} has no model of version {version}.")]
    if model.file_status in (FileStatus.REMOVED, FileStatus.LOST):
        return [("start_from", f"The file of that model is {model.file_status}; choose one whose file is there.")]
    if (model.session.workload, model.session.workload_options) != (spec.workload, workload_options):
        return [("start_from", f"That model belongs to the workload {model.session.workload} with other options.")]
    return []


def _model(start_from: tuple[int, int]) -> GlobalModel | None:
    session_id, version = start_from
    return GlobalModel.objects.select_related("session").filter(session_id=session_id, version=version).first()


@storage.keeping()  # of the model that it starts from
@transaction.atomic
def create(spec: Spec, *, by: User | None, now: datetime) -> TrainingSession:
    """Make a draft. Raises Invalid naming every field that cannot be."""
    spec = check(spec)
    session = TrainingSession.objects.create(
        name=spec.name,
        workload=spec.workload,
        workload_options=spec.workload_options,
        workload_digest=workloads.get(spec.workload).digest(),
        strategy=spec.strategy,
        strategy_options=spec.strategy_options,
        compression=spec.compression,
        compression_options=spec.compression_options,
        rounds=spec.rounds,
        cohort_size=spec.cohort_size,
        client_tags=list(spec.client_tags),
        quorum=spec.quorum,
        round_seconds=spec.round_seconds,
        auto_deadline=spec.auto_deadline,
        max_retries=spec.max_retries,
        on_round_failure=spec.on_round_failure,
        late_policy=spec.late_policy,
        defences=list(spec.defences),
        train=spec.train,
        seed=spec.seed,
        start_from=_model(spec.start_from) if spec.start_from else None,
        created_at=now,
        created_by=by,
    )
    events.record(session.pk, Event.Kind.SESSION_CREATED, name=session.name, by=_name(by))
    if session.start_from:
        models.adopt(session, session.start_from)
    return session


def spec_of(session: TrainingSession) -> Spec:
    """The specification that a session was made from, to make another one like it."""
    start = session.start_from
    return Spec(
        name=session.name,
        workload=session.workload,
        workload_options=session.workload_options,
        rounds=session.rounds,
        strategy=session.strategy,
        strategy_options=session.strategy_options,
        compression=session.compression,
        compression_options=session.compression_options,
        cohort_size=session.cohort_size,
        client_tags=tuple(session.client_tags),
        quorum=session.quorum,
        round_seconds=session.round_seconds,
        auto_deadline=session.auto_deadline,
        max_retries=session.max_retries,
        on_round_failure=session.on_round_failure,
        late_policy=session.late_policy,
        defences=tuple(session.defences),
        train=session.train,
        seed=session.seed,
        start_from=(start.session_id, start.version) if start else None,
    )


@transaction.atomic
def start(session: TrainingSession, *, by: User | None, now: datetime) -> None:
    """Let a draft run. Raises Conflict in any other state."""
    _move(session, SessionStatus.RUNNING, frm=SessionStatus.DRAFT, started_at=now, idle_since=now)
    events.record(session.pk, Event.Kind.SESSION_STARTED, by=_name(by))


@transaction.atomic
def pause(session: TrainingSession, *, by: User | None) -> None:
    """Open no new round. The open one, its seats and its deadline go on."""
    _move(session, SessionStatus.PAUSED, frm=SessionStatus.RUNNING)
    events.record(session.pk, Event.Kind.SESSION_PAUSED, by=_name(by))


@transaction.atomic
def resume(session: TrainingSession, *, by: User | None, now: datetime) -> None:
    _move(session, SessionStatus.RUNNING, frm=SessionStatus.PAUSED)
    TrainingSession.objects.filter(pk=session.pk).exclude(idle_since=None).update(idle_since=now)
    events.record(session.pk, Event.Kind.SESSION_RESUMED, by=_name(by))


@transaction.atomic
def cancel(session: TrainingSession, *, by: User | None, now: datetime) -> None:
    """Stop at once. Models, curves and events are kept; updates of the open round are not."""
    rounds.cancel_active(session, now=now)
    reason = f"Cancelled by {_name(by)}." if by else "Cancelled."
    _move(session, SessionStatus.CANCELLED, frm=session.status, ended_at=now, idle_since=None, reason=reason)
    events.record(session.pk, Event.Kind.SESSION_CANCELLED, by=_name(by))


@transaction.atomic
def add_rounds(session: TrainingSession, more: int, *, by: User | None) -> None:
    """Let a session that goes on run for more rounds. One that has ended is gone on from: see `go_on`."""
    low, high = 1, LIMITS["rounds"][1] - session.rounds
    if not low <= more <= high:
        raise Invalid(("rounds", f"{more} more rounds cannot be: choose {low} to {high}."))
    if not TrainingSession.objects.filter(pk=session.pk, status__in=LIVE).update(rounds=F("rounds") + more):
        session.refresh_from_db(fields=["status"])
        raise Conflict(f"{session.name} is {session.status}; start a session from its last model instead.")
    session.refresh_from_db(fields=["rounds"])
    events.record(session.pk, Event.Kind.SESSION_EXTENDED, more=more, rounds=session.rounds, by=_name(by))


def again(session: TrainingSession, *, by: User | None, now: datetime) -> TrainingSession:
    """Run once more with the same settings, from the same start."""
    return _launch(replace(spec_of(session), name=next_name(session.name)), by=by, now=now)


def go_on(session: TrainingSession, *, rounds_: int, by: User | None, now: datetime) -> TrainingSession:
    """Train further: a new session like this one that starts from its last model."""
    last = session.last_model()
    if last is None:
        raise Conflict(f"{session.name} has no model yet to go on from.")
    start_from = (session.pk, last.version)
    spec = replace(spec_of(session), name=next_name(session.name), rounds=rounds_, start_from=start_from)
    return _launch(spec, by=by, now=now)


@storage.keeping()
@transaction.atomic
def _launch(spec: Spec, *, by: User | None, now: datetime) -> TrainingSession:
    session = create(spec, by=by, now=now)
    start(session, by=by, now=now)
    return session


def next_name(name: str) -> str:
    """'first' -> 'first 2' -> 'first 3', the first that is not in use."""
    stem, _, end = name.rpartition(" ")
    stem, number = (stem, int(end)) if stem and end.isdecimal() else (name, 1)
    stem = stem[:90]  # leaves room for the number
    taken = set(TrainingSession.objects.filter(name__startswith=stem).values_list("name", flat=True))
    while f"{stem} {number + 1}" in taken:
        number += 1
    return f"{stem} {number + 1}"


def delete(session: TrainingSession, *, by: User | None = None) -> None:
    """Remove a session that does not go on, with its rounds, curves, events and the files nobody else needs.

    Raises Conflict while it goes on, or while one of its models carries a tag.
    """
    with transaction.atomic():
        if not TrainingSession.objects.filter(pk=session.pk).exclude(status__in=LIVE).exists():
            raise Conflict(f"{session.name} is {session.status}. Cancel it before deleting it.")
        refuse_where_kept(session)
        digests = _files(session)
        which = {"session": {"id": str(session.pk)}, "name": session.name}
        events.record_server(ServerEvent.Kind.SESSION_DELETED, **which, by=_name(by))
        session.delete()
    retention.delete_unused(digests)


def refuse_where_kept(session: TrainingSession) -> None:
    kept = GlobalModel.objects.kept().filter(session=session).prefetch_related("tags").first()
    if kept is not None:
        tag = kept.tags.all()[0]
        raise Conflict(
            f"Model {kept} of {session.name} carries the tag {tag}. Take it off before deleting the session."
        )


def _files(session: TrainingSession) -> set[str]:
    made = GlobalModel.objects.filter(session=session).values_list("digest", "slots_digest")
    sent = Participation.objects.filter(round__session=session).values_list("digest", flat=True)
    return {digest for pair in made for digest in pair if digest} | {digest for digest in sent if digest}


def _move(session: TrainingSession, to: SessionStatus, *, frm: str, **fields: Any) -> None:
    """Compare and swap. Raises Conflict with a sentence where the state does not allow it."""
    allowed = (frm, to) in SESSION_MOVES
    if not allowed or not TrainingSession.objects.filter(pk=session.pk, status=frm).update(status=to, **fields):
        session.refresh_from_db(fields=["status"])
        if session.status == to:
            raise Conflict(f"{session.name} is {to} already.")
        end = " It has ended." if session.status in ENDED else ""
        raise Conflict(f"{session.name} is {session.status} and cannot become {to}.{end}")
    session.status = to
    for name, value in fields.items():
        setattr(session, name, value)


def _name(by: User | None) -> str:
    return by.get_username() if by else ""
