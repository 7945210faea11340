"""Another session like one that was: the same again, or further from its last model."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from federation import storage
from federation.errors import Conflict
from federation.fl import sampling
from federation.lifecycle import Origin, WorkKind
from federation.models import GlobalModel, ModelUpload, TrainingSession
from federation.session_settings import Spec

if TYPE_CHECKING:
    from django.contrib.auth.models import User
from federation.services.sessions.creating import create, spec_of
from federation.services.sessions.evaluating import Evaluation, create_evaluation
from federation.services.sessions.steering import refuse_evaluation, start


def again(session: TrainingSession, *, by: User | None, now: datetime) -> TrainingSession:
    """Run once more with the same settings, from the same start. An evaluation measures the same model again."""
    if session.kind != WorkKind.TRAIN:
        return _evaluate_again(session, by=by, now=now)
    return _launch(another(session), by=by, now=now, initial_model=session.initial_model)


def another(session: TrainingSession) -> Spec:
    """The specification of a session, with a name of its own. `initial_model` is beside it."""
    spec = replace(spec_of(session), name=next_name(session.name))
    if lost_its_upload(session):
        spec = replace(spec, start_from=(session.pk, 0))  # version 0 is the same file
    return spec


def lost_its_upload(session: TrainingSession) -> bool:
    """Whether it began with an uploaded file whose row was removed since."""
    began_otherwise = session.initial_model_id is not None or session.start_from_id is not None
    return not began_otherwise and session.models.filter(version=0, origin=Origin.UPLOAD).exists()


def go_on(session: TrainingSession, *, rounds_: int, by: User | None, now: datetime) -> TrainingSession:
    """Train further: a new session like this one, from its last model and optimizer state, with new random draws."""
    refuse_evaluation(session)
    last = session.last_model()
    if last is None:
        raise Conflict(f"{session.name} has no model yet to go on from.")
    return _launch(replace(further(last), rounds=rounds_), by=by, now=now)


def further(model: GlobalModel) -> Spec:
    """A session like that of a model, which starts from the model and draws nothing a second time."""
    session = model.session
    seed = sampling.further_seed(session.seed, model.version)
    start = (session.pk, model.version)
    return replace(spec_of(session), name=next_name(session.name), seed=seed, start_from=start)


@storage.keeping()
@transaction.atomic
def _evaluate_again(session: TrainingSession, *, by: User | None, now: datetime) -> TrainingSession:
    model, name = session.last_model(), next_name(session.name)
    if model is None:
        raise Conflict(f"{session.name} has no model to measure again.")
    wish = Evaluation(model.digest, session.client_ids, name, session.round_seconds, session.kind)
    another = create_evaluation(wish, by=by, now=now)
    start(another, by=by, now=now)
    return another


@storage.keeping()
@transaction.atomic
def _launch(spec: Spec, *, by: User | None, now: datetime, initial_model: ModelUpload | None = None) -> TrainingSession:
    session = create(spec, by=by, now=now, initial_model=initial_model)
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
