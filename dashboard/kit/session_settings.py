"""The settings of sessions as pages tell them: on the card of one session, and of several side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.kit import formats
from federation import setting_kinds
from federation.fl import measures
from federation.fl.options import Option
from federation.models import GlobalModel, TrainingSession
from federation.services import sessions
from federation.services.models import choosing
from federation.session_settings import SETTINGS, holds
from federation.setting_kinds import limits

MOST_COUNTED = 10**9  # a setting that may be larger is no number of things


@dataclass(frozen=True, slots=True)
class Line:
    """One setting. model: what the value names, for a link."""

    name: str
    label: str
    value: str
    model: GlobalModel | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    values: Sequence[str]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def side_by_side(beside: Sequence[TrainingSession]) -> list[Setting]:
    """Every setting of any of them, with the values side by side."""
    described = [{line.label: line.value for line in (*of(session), _source(session))} for session in beside]
    names = list(dict.fromkeys(name for one in described for name in one))
    return [Setting(name, [one.get(name, "–") for one in described]) for name in names]


def of(session: TrainingSession) -> list[Line]:
    """The settings of a session that fit it, in the order of their declarations."""
    return [
        line
        for option in SETTINGS.values()
        if holds(option, session)
        for line in _LINES.get(type(option.kind), _plain)(option, session)
    ]


def _source(session: TrainingSession) -> Line:
    return Line("workload_digest", "Workload's source", session.workload_digest[:8])


def _plain(option: Option, session: TrainingSession) -> Iterator[Line]:
    value = getattr(session, option.name)
    yield Line(option.name, option.title, option.empty if value in (None, "") else formats.setting(value))


def _nothing(option: Option, session: TrainingSession) -> Iterator[Line]:
    """Told elsewhere: as the page's title."""
    yield from ()


def _whole(option: Option, session: TrainingSession) -> Iterator[Line]:
    value = getattr(session, option.name)
    is_counted = limits(option)[1] <= MOST_COUNTED
    number = formats.number(value) if is_counted and value is not None else formats.setting(value)
    yield Line(option.name, option.title, option.empty if value is None else number)


def _seconds(option: Option, session: TrainingSession) -> Iterator[Line]:
    assert isinstance(option.kind, setting_kinds.Seconds)
    learnt = ", learnt" if getattr(session, option.kind.auto) else ""
    yield Line(option.name, option.title, formats.duration(getattr(session, option.name)) + learnt)


def _one_of(option: Option, session: TrainingSession) -> Iterator[Line]:
    yield Line(option.name, option.title, str(getattr(session, f"get_{option.name}_display")()))


def _some_of(option: Option, session: TrainingSession) -> Iterator[Line]:
    assert isinstance(option.kind, setting_kinds.SomeOf)
    yield Line(option.name, option.title, listed(option.kind, getattr(session, option.name)))


def listed(kind: setting_kinds.SomeOf, given: object) -> str:
    """Those that are on, in a few words."""
    known = [said.short for one, said in kind.about.items() if isinstance(given, list) and one in given]
    return ", ".join(known) or "none"


def _tags(option: Option, session: TrainingSession) -> Iterator[Line]:
    given = getattr(session, option.name)
    yield Line(
        option.name, option.title, " or ".join(map(str, given if isinstance(given, list) else ())) or option.empty
    )


def _globs(option: Option, session: TrainingSession) -> Iterator[Line]:
    yield Line(option.name, option.title, ", ".join(getattr(session, option.name)) or option.empty)


def _named(option: Option, session: TrainingSession) -> Iterator[Line]:
    assert isinstance(option.kind, setting_kinds.Named)
    name, given = (getattr(session, column) for column in option.kind.columns(option.name)[:2])
    yield Line(option.name, option.title, str(name))
    known = option.kind.known.get(name)
    yield from _options(given, known.options if known else ())


def _workload(option: Option, session: TrainingSession) -> Iterator[Line]:
    """One that only sites have is as the session keeps it."""
    told = session.told
    if told is None:
        yield from _named(option, session)
        return
    yield Line(option.name, option.title, f"{session.workload}, which only sites have")
    if session.workload_version:
        yield Line(f"{option.name}_version", "Version of the workload", session.workload_version)
    yield from _options(session.workload_options, told.options)


def _switch(option: Option, session: TrainingSession) -> Iterator[Line]:
    """One that is part of another setting is told there."""
    assert isinstance(option.kind, setting_kinds.Switch)
    if not option.kind.part_of:
        yield Line(option.name, option.title, "yes" if getattr(session, option.name) else "no")


def _together(option: Option, session: TrainingSession) -> Iterator[Line]:
    assert isinstance(option.kind, setting_kinds.Together)
    given = getattr(session, option.name)
    if given is None:
        yield Line(option.name, option.title, option.empty)
    else:
        yield from _options(given, option.kind.options)


def _options(given: Any, declared: Sequence[Option]) -> Iterator[Line]:
    """With the labels that are declared; options of an earlier version have their names."""
    known = {option.name: option for option in declared}
    for name, value in given.items() if isinstance(given, dict) else ():
        option = known.get(name)
        label = option.title if option else formats.spaced(name)
        yield Line(name, label, option.empty if option and value is None else formats.setting(value))


def _measure(option: Option, session: TrainingSession) -> Iterator[Line]:
    name = getattr(session, option.name)
    title = measures.of(name, choosing.declared(session)).title or name
    yield Line(option.name, option.title, title if name else option.empty)


def _model(option: Option, session: TrainingSession) -> Iterator[Line]:
    start: GlobalModel | None = getattr(session, option.name)
    said = f"{start.session.name}, v{start.version}" if start else _begun(session) or option.empty
    yield Line(option.name, option.title, said, start)


def _begun(session: TrainingSession) -> str:
    """The uploaded file that a session began with; empty if it began otherwise."""
    if session.initial_model:
        return f"uploaded file {session.initial_model}"
    return "an uploaded file, deleted since" if sessions.lost_its_upload(session) else ""


_LINES: Mapping[type, Callable[[Option, TrainingSession], Iterator[Line]]] = {
    setting_kinds.Text: _nothing,
    setting_kinds.Switch: _switch,
    setting_kinds.Whole: _whole,
    setting_kinds.Seconds: _seconds,
    setting_kinds.OneOf: _one_of,
    setting_kinds.SomeOf: _some_of,
    setting_kinds.Tags: _tags,
    setting_kinds.Globs: _globs,
    setting_kinds.Named: _named,
    setting_kinds.NamedWorkload: _workload,
    setting_kinds.Together: _together,
    setting_kinds.MeasureName: _measure,
    setting_kinds.StoredModel: _model,
}
