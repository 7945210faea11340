"""What the form for a new session is filled with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dashboard.pages.new_session.forms import UNITS
from federation.models import TrainingSession
from federation.services import sessions
from federation.session_settings import Spec


def another(session: TrainingSession) -> Spec:
    """The specification of a session, with a name of its own."""
    return replace(sessions.spec_of(session), name=sessions.next_name(session.name))


def initial_of(spec: Spec) -> dict[str, Any]:
    """A specification as the form's initial values."""
    unit = max((key for key, (_, s) in UNITS.items() if spec.round_seconds % s == 0), key=lambda key: UNITS[key][1])
    options = {f"workload.{spec.workload}.{key}": value for key, value in spec.workload_options.items()}
    options |= {f"compression.{spec.compression}.{key}": value for key, value in spec.compression_options.items()}
    options |= {f"strategy.{spec.strategy}.{key}": value for key, value in spec.strategy_options.items()}
    return {
        "name": spec.name,
        "workload": spec.workload,
        "start_from": "{}:{}".format(*spec.start_from) if spec.start_from else "",
        "rounds": spec.rounds,
        "round_time": spec.round_seconds // UNITS[unit][1],
        "round_unit": unit,
        "auto_deadline": spec.auto_deadline,
        "cohort_size": "" if spec.cohort_size is None else spec.cohort_size,
        "client_tags": ", ".join(spec.client_tags),
        "quorum": spec.quorum,
        "seed": spec.seed,
        "strategy": spec.strategy,
        "compression": spec.compression,
        "max_retries": spec.max_retries,
        "on_round_failure": spec.on_round_failure,
        "late_policy": spec.late_policy,
        "defences": " ".join(spec.defences),
        **spec.train,
        **options,
    }
