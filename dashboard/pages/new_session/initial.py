"""What the form for a new session is filled with."""

from __future__ import annotations

from typing import Any

from dashboard.pages.new_session.inputs import INPUTS
from dashboard.pages.new_session.starting_models import FILE
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
