"""The schedules that a session can follow. One file a schedule; each is found by being here.

A schedule decides who gets a seat, when a round closes, and which seats go on then. It reads no rows and writes none.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from federation.fl import discovery
from federation.fl.options import OptionError, check
from federation.lifecycle import LatePolicy
from federation.schedules.schedule import Crowd, Schedule, Tally, Terms

__all__ = ["JOINED", "PATIENT", "SCHEDULES", "Crowd", "Schedule", "Tally", "Terms", "build", "of"]

SCHEDULES: Mapping[str, type[Schedule]] = discovery.by_name(__name__, __path__, first="synchronous")
JOINED = tuple(name for name, one in SCHEDULES.items() if one.is_joined)
PATIENT = tuple(name for name, one in SCHEDULES.items() if one.is_patient)


class Settings(Protocol):
    """What a session says about its schedule."""

    @property
    def schedule(self) -> Any: ...
    @property
    def schedule_options(self) -> Any: ...
    @property
    def quorum(self) -> Any: ...
    @property
    def cohort_size(self) -> Any: ...
    @property
    def late_policy(self) -> Any: ...


def of(session: Settings) -> Schedule:
    """The schedule of a session, by its settings."""
    terms = Terms(session.quorum, session.cohort_size, LatePolicy(session.late_policy))
    return build(session.schedule, session.schedule_options, terms)


def build(name: str, options: Mapping[str, object], terms: Terms) -> Schedule:
    """The schedule of this name with these options, defaults filled in. Raises OptionError."""
    if name not in SCHEDULES:
        raise OptionError("name", f"There is no schedule {name!r}: choose one of {', '.join(SCHEDULES)}.")
    declared = SCHEDULES[name].options
    make = cast("Callable[..., Schedule]", SCHEDULES[name])
    return make(terms, **check(options, declared, f"schedule {name}"))
