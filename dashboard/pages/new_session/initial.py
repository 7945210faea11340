"""What the form for a new session is filled with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dashboard.pages.new_session.inputs import INPUTS
from dashboard.pages.new_session.starting_models import FILE
from federation import catalogue
from federation.fl.workloads import WORKLOADS
from federation.models import TrainingSession
from federation.services import sessions
from federation.session_settings import Spec


def another(session: TrainingSession) -> dict[str, Any]:
    """The values of a session, with a name of its own."""
    begins = session.initial_model
    values = initial_of(sessions.another(session))
    return values | {"start_from": FILE, "initial_model": begins.digest} if begins else values


def initial_of(spec: Spec) -> dict[str, Any]:
    """A specification as the form's initial values."""
    return {name: value for one in INPUTS.values() for name, value in one.initial(spec).items()}


def of_workload(spec: Spec, workload: str) -> Spec | None:
    """The same for another workload: with a name that says so, and without what only the other one has.

    None if neither the server nor a site has it. Of what only sites have it is the version of most of them, and half of
    these sites are its quorum.
    """
    told = None if workload in WORKLOADS else catalogue.find(workload)
    if told is None and workload not in WORKLOADS:
        return None
    return replace(
        spec,
        name=spec.name.replace(spec.workload, workload, 1),
        workload=workload,
        workload_version=told.version if told else None,
        declaration=told.declared.to_json() if told else None,
        workload_options={},
        train={},
        main_measure="",
        quorum=max(1, len(told.clients) // 2) if told else spec.quorum,
    )
