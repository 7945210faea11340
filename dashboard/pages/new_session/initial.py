"""What the form for a new session is filled with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dashboard.pages.new_session.inputs import INPUTS
from federation.models import TrainingSession
from federation.services import sessions
from federation.session_settings import Spec


def another(session: TrainingSession) -> Spec:
    """The specification of a session, with a name of its own."""
    return replace(sessions.spec_of(session), name=sessions.next_name(session.name))


def initial_of(spec: Spec) -> dict[str, Any]:
    """A specification as the form's initial values."""
    return {name: value for one in INPUTS.values() for name, value in one.initial(spec).items()}
