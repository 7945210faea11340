"""The kinds of value that a session's settings have, and what each says about a value.

A kind knows its columns and its check. Forms, documents and pages look a kind up in a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from django.db.models import TextChoices

from federation import tags
from federation.errors import Invalid
from federation.fl import options, staying
from federation.fl.measures import KNOWN, Direction, Measure
from federation.fl.options import Kind, Option, OptionError


class Declared(Protocol):
    """What can be chosen by name: a workload, a strategy, an encoding. title: may be empty where sites declare it."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def options(self) -> tuple[Option, ...]: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a value is not allowed. field: as the API calls it.

    predicate: the sentence without its subject, which a form begins with the setting's label; empty where it has none.
    """

    field: str
    sentence: str
    predicate: str = ""

    def worded(self, label: str) -> str:
        return f"{label} {self.predicate}" if self.predicate else self.sentence


class SettingKind(Kind):
    """A kind of a session's setting. `spec` is what a session is to be; every value in it is found by name."""

    __slots__ = ()

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns of a session that hold it."""
        return (name,)

    def unset(self, option: Option) -> dict[str, Any]:
        """The values of its columns where it has no effect."""
        return {option.name: option.default}

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        """Everything that is wrong with the value."""
        yield from ()

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        """The values of its columns with everything filled in. Called where nothing is wrong."""
        return {column: getattr(spec, column) for column in self.columns(option.name)}


@dataclass(frozen=True, slots=True)
class Text(SettingKind):
    """A line of text; spaces at its ends and repeated ones do not count."""

    longest: int
    refusal: str

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        if not 1 <= len(self.filled(option, spec)[option.name]) <= self.longest:
            yield Problem(option.name, self.refusal)

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        return {option.name: " ".join(getattr(spec, option.name).split())}


@dataclass(frozen=True, slots=True)
class Whole(SettingKind):
    """A whole number within the option's limits. Empty (None) is allowed where the option says what that means."""

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        value = getattr(spec, option.name)
        low, high = limits(option)
        if (value is None and not option.empty) or (value is not None and not low <= value <= high):
            predicate = f"is {value}: choose {low} to {high}."
            yield Problem(option.name, f"{option.name} {predicate}", predicate)


@dataclass(frozen=True, slots=True)
class Seconds(Whole):
    """A duration. auto: the switch that has it learnt; the API writes "auto" for it."""

    auto: str = ""


@dataclass(frozen=True, slots=True)
class Switch(SettingKind):
    """On or off. part_of: the setting whose member of the API says it, too."""

    part_of: str = ""


@dataclass(frozen=True, slots=True)
class OneOf(SettingKind):
    values: type[TextChoices]

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        if (value := getattr(spec, option.name)) not in self.values.values:
            predicate = f"is {value!r}: choose one of {', '.join(self.values.values)}."
            yield Problem(option.name, f"{option.name} {predicate}", predicate)


@dataclass(frozen=True, slots=True)
class Choice:
    """One switch of several: title and help for the form, short for a list of those that are on."""

    title: str
    help: str
    short: str


@dataclass(frozen=True, slots=True)
class SomeOf(SettingKind):
    """Any number of an enumeration's members. noun: what one is called."""

    values: type[StrEnum]
    noun: str
    about: Mapping[Any, Choice]

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        if unknown := [name for name in getattr(spec, option.name) if name not in set(self.values)]:
            allowed = ", ".join(self.values)
            yield Problem(option.name, f"{unknown[0]!r} is no {self.noun}. Choose some of {allowed}, or none.")

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        return {option.name: tuple(one.value for one in self.values if one in getattr(spec, option.name))}


@dataclass(frozen=True, slots=True)
class Tags(SettingKind):
    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        try:
            tags.check(getattr(spec, option.name), field=option.name)
        except Invalid as refusal:
            yield from (Problem(field, sentence) for field, sentence in refusal.errors)

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        return {option.name: tuple(tags.check(getattr(spec, option.name), field=option.name))}


@dataclass(frozen=True, slots=True)
class Globs(SettingKind):
    """Patterns of names of tensors, each once. What they fit is known with the model."""

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        given = self.filled(option, spec)[option.name]
        wrong = [glob for glob in given if len(glob) > staying.LONGEST or not glob.isprintable()]
        if wrong:
            sentence = f"{wrong[0][:60]!r} is no pattern: use up to {staying.LONGEST} printable characters."
            yield Problem(option.name, sentence)
        if len(given) > staying.MOST:
            yield Problem(option.name, f"{len(given)} patterns are too many: use up to {staying.MOST}.")

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        stripped = (glob.strip() for glob in getattr(spec, option.name))
        return {option.name: tuple(dict.fromkeys(glob for glob in stripped if glob))}


@dataclass(frozen=True, slots=True)
class Named(SettingKind):
    """One of several by its name, with the options that it declares. noun: what one is called."""

    known: Mapping[str, Declared]
    noun: str

    def columns(self, name: str) -> tuple[str, ...]:
        return (name, f"{name}_options")

    def unset(self, option: Option) -> dict[str, Any]:
        return {option.name: option.default, f"{option.name}_options": {}}

    def chosen(self, option: Option, spec: Any) -> Declared | None:
        return self.known.get(getattr(spec, option.name))

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        chosen = self.chosen(option, spec)
        if chosen is None:
            allowed = ", ".join(sorted(self.known))
            name = getattr(spec, option.name)
            yield Problem(f"{option.name}.name", f"There is no {self.noun} {name!r}. Choose one of: {allowed}.")
        else:
            what = f"{option.name}.options"
            given = getattr(spec, f"{option.name}_options")
            faults = list(_faults(given, chosen.options, what))
            yield from faults or _misfits(given, chosen, what)

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        name, given = self.columns(option.name)[:2]
        chosen = self.chosen(option, spec)
        assert chosen is not None, f"{name} was checked"
        return {name: chosen.name, given: options.check(getattr(spec, given), chosen.options, f"{name}.options")}


def _misfits(given: Mapping[str, Any], chosen: Declared, what: str) -> Iterator[Problem]:
    """What a workload says of options that are allowed, but not together."""
    ask = getattr(chosen, "problem", None)
    found = ask(options.check(given, chosen.options, what)) if ask else None
    if found:
        name, sentence = found
        yield Problem(f"{what}.{name}", sentence, sentence.removeprefix(f"{name} "))


@dataclass(frozen=True, slots=True)
class NamedWorkload(Named):
    """A workload: one of the server's, or one that only sites have. What they declare of it is in `spec.told`."""

    def columns(self, name: str) -> tuple[str, ...]:
        return (*Named.columns(self, name), f"{name}_version", "declaration")

    def chosen(self, option: Option, spec: Any) -> Declared | None:
        return spec.told or Named.chosen(self, option, spec)

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        """A version is a setting only where sites have the workload. One of the server's is as it is there."""
        told = spec.told
        about = {f"{option.name}_version": told.version if told else None, "declaration": told and spec.declaration}
        return Named.filled(self, option, spec) | about


@dataclass(frozen=True, slots=True)
class Together(SettingKind):
    """Several options in one column. defaults: those that depend on other settings.

    With an `empty` in its option the whole of it may be None, which it becomes if it says nothing.
    is_nothing: whether given values say nothing; without it they do not if everything that may be empty is.
    """

    options: tuple[Option, ...]
    defaults: Callable[[Any], Mapping[str, Any]] = lambda spec: {}
    is_nothing: Callable[[Mapping[str, Any]], bool] | None = None

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        given = getattr(spec, option.name)
        if given is not None:
            yield from _faults({**self.defaults(spec), **given}, self.options, option.name)
        elif not option.empty:
            yield Problem(option.name, f"{option.name} must be an object.")

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        given = getattr(spec, option.name)
        if given is not None:
            given = options.check({**self.defaults(spec), **given}, self.options, option.name)
        return {option.name: None if option.empty and self.says_nothing(given) else given}

    def says_nothing(self, given: Mapping[str, Any] | None) -> bool:
        """Whether it is as if it were not given."""
        if given is not None and self.is_nothing is not None:
            return self.is_nothing(given)
        return given is None or all(given.get(one.name) is None for one in self.options if one.empty)


@dataclass(frozen=True, slots=True)
class MeasureName(SettingKind):
    """A measure with a direction. usual: those of the session's workload, the first one of which is the default."""

    usual: Callable[[Any], Sequence[Measure]]

    def choices(self, spec: Any) -> list[Measure]:
        """The workload's own measures first, then the others that are known."""
        own = [one for one in self.usual(spec) if one.direction != Direction.NONE]
        names = {one.name for one in own}
        return own + [one for one in KNOWN.values() if one.direction != Direction.NONE and one.name not in names]

    def check(self, option: Option, spec: Any) -> Iterator[Problem]:
        chosen, known = getattr(spec, option.name), [one.name for one in self.choices(spec)]
        if chosen and chosen not in known:
            predicate = f"is {chosen!r}: choose one of {', '.join(known)}."
            yield Problem(option.name, f"{option.name} {predicate}", predicate)

    def filled(self, option: Option, spec: Any) -> dict[str, Any]:
        usual = next((one.name for one in self.usual(spec) if one.direction != Direction.NONE), "")
        return {option.name: getattr(spec, option.name) or usual}


@dataclass(frozen=True, slots=True)
class StoredModel(SettingKind):
    """A model by (session id, version), or None. The service writes and checks it: it is another row."""

    def columns(self, name: str) -> tuple[str, ...]:
        return ()


def limits(option: Option) -> tuple[int, int]:
    """The smallest and the largest whole number that is allowed."""
    assert option.minimum is not None and option.maximum is not None, option.name
    return int(option.minimum), int(option.maximum)


def _faults(given: Mapping[str, Any], known: Sequence[Option], what: str) -> Iterator[Problem]:
    return (_problem(fault, what) for fault in options.faults(given, known, what))


def _problem(fault: OptionError, what: str) -> Problem:
    return Problem(f"{what}.{fault.field}", str(fault), fault.predicate)
