"""Sessions are made from a checked specification, and described by one again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction

from federation import events, storage
from federation.errors import Invalid
from federation.fl import workloads
from federation.fl.privacy import clippings
from federation.models import Event, GlobalModel, ModelUpload, TrainingSession
from federation.services import models, privacy
from federation.services.models import uploads
from federation.session_settings import SETTINGS, Spec, kind_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User
from federation.services.people import name_of
from federation.services.sessions.checking import check, model_at


@storage.keeping()  # of the model that it starts from
@transaction.atomic
def create(spec: Spec, *, by: User | None, now: datetime, initial_model: ModelUpload | None = None) -> TrainingSession:
    """Make a draft. Raises Invalid naming every field that cannot be. initial_model: it begins with this one."""
    spec = check(spec)
    if initial_model is not None and spec.start_from:
        raise Invalid(("initial_model", "Choose either initial_model or start_from."))
    if initial_model is not None:
        uploads.require_fit(initial_model, spec.workload, spec.workload_options)
    start_from = model_at(spec.start_from) if spec.start_from else None
    session = TrainingSession.objects.create(
        **_columns(spec) | _source(spec),
        initial_model=initial_model,
        start_from=start_from,
        privacy_before=privacy.written(privacy.of_model(start_from)) if start_from else None,
        created_at=now,
        created_by=by,
    )
    if session.privacy != clippings.NONE:
        privacy.key(session)
    events.record(session.pk, Event.Kind.SESSION_CREATED, name=session.name, by=name_of(by))
    if session.start_from:
        _adopt(session, session.start_from)
    return session


def _adopt(session: TrainingSession, source: GlobalModel) -> None:
    try:
        models.adopt(session, source)
    except models.Unfit as error:
        raise Invalid((error.field, str(error))) from error


def spec_of(session: TrainingSession) -> Spec:
    """The specification that a session was made from, to make another one like it."""
    start = session.start_from
    given = {name: _tuple(getattr(session, name)) for name in _column_names()}
    if not session.is_of_sites:
        given |= {"workload_version": None, "declaration": None}
    return Spec(**given, start_from=(start.session_id, start.version) if start else None)


def _source(spec: Spec) -> dict[str, str]:
    """Which source of the workload it trains: the server's, or the one that most of the sites have."""
    if spec.told:
        return {"workload_digest": spec.told.digest}
    workload = workloads.get(spec.workload)
    return {"workload_digest": workload.digest(), "workload_version": workload.version}


def _columns(spec: Spec) -> dict[str, Any]:
    return {name: _list(getattr(spec, name)) for name in _column_names()}


def _column_names() -> list[str]:
    return [name for option in SETTINGS.values() for name in kind_of(option).columns(option.name)]


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
