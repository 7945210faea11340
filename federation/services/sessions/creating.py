"""Sessions are made from a checked specification, and described by one again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from federation import events, storage
from federation.fl import workloads
from federation.models import Event, TrainingSession
from federation.services import models
from federation.session_settings import Spec

if TYPE_CHECKING:
    from django.contrib.auth.models import User
from federation.services.people import name_of
from federation.services.sessions.checking import check, model_at


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
        workload_version=workloads.get(spec.workload).version,
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
        start_from=model_at(spec.start_from) if spec.start_from else None,
        created_at=now,
        created_by=by,
    )
    events.record(session.pk, Event.Kind.SESSION_CREATED, name=session.name, by=name_of(by))
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
