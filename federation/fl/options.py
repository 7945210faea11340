"""The type in which every setting is declared: a session's, and the options of workloads, strategies and encodings.

A declaration is all that forms, checks, documents and pages know of a setting.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class OptionError(ValueError):
    """An option that is not allowed. str(error) says what is wrong and what is allowed; ``field`` names the option.

    predicate: the sentence without its subject, so that a form can name the option by its label. Empty where the
    sentence has no such form.
    """

    def __init__(self, field: str, sentence: str, predicate: str = "") -> None:
        super().__init__(sentence)
        self.field = field
        self.predicate = predicate


class Kind:
    """A kind of value that needs more than a type. `federation.setting_kinds` has those of a session's settings."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option.

    kind: int, float, str, bool or a Kind. minimum and maximum bound numbers, both inclusive unless
    ``exclusive_minimum``; choices, where given, are all the values that are allowed.
    help: one line for the form. label: what pages call it; empty: made from the name.
    empty: what it means to give no value (None), such as "everyone online"; without it a value is needed.
    group: the heading under which a form shows it. later: whether it may change while its session lives.
    shown_with: another setting and its values with which this one has an effect, and is shown. Empty: always.
    """

    name: str
    kind: type | Kind
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    exclusive_minimum: bool = False
    help: str = ""
    label: str = ""
    empty: str = ""
    group: str = ""
    later: bool = False
    shown_with: tuple[str, tuple[str, ...]] | None = None

    @property
    def title(self) -> str:
        """What pages call it: its label, or 'Server learning rate' for server_lr."""
        if self.label:
            return self.label
        words = self.name.replace("_lr", "_learning_rate").replace("_", " ")
        return words[:1].upper() + words[1:]


def check(given: Mapping[str, object], declared: Sequence[Option], what: str) -> dict[str, Any]:
    """Every declared option with its given value or its default, in the order of declaration.

    what: whose options these are, for the sentences, e.g. "workload synthetic". A whole number
    is accepted where a number is asked for, and becomes a float; a bool is not a number.
    Raises OptionError for an unknown name, another type, or a value out of range.
    """
    if wrong := faults(given, declared, what):
        raise wrong[0]
    return {option.name: _read(given, option) for option in declared}


def faults(given: Mapping[str, object], declared: Sequence[Option], what: str) -> list[OptionError]:
    """Everything that is wrong with the given values: unknown names first, then values, as `check` words them."""
    names = [option.name for option in declared]
    known = f"it has {', '.join(names)}" if names else "it has none"
    unknown = [
        OptionError(str(name), f"{what} has no option {_shown(name)}: {known}.") for name in given if name not in names
    ]
    return unknown + [fault for option in declared if (fault := _fault(given, option, what))]


def _fault(given: Mapping[str, object], option: Option, what: str) -> OptionError | None:
    value = _read(given, option)
    if value is not None or (option.empty and given.get(option.name, option.default) is None):
        return None
    predicate = f"must be {allowed(option)}, not {_shown(given.get(option.name, option.default))}."
    return OptionError(option.name, f"{option.name} of {what} {predicate}", predicate)


def _read(given: Mapping[str, object], option: Option) -> Any:
    """The given value or the default, as the option's kind; None where it is not allowed."""
    if isinstance(option.kind, Kind):
        raise TypeError(f"{option.name}: only a session's own settings are of the kind {option.kind}.")
    value = _typed(given.get(option.name, option.default), option.kind)
    return value if value is not None and _in_range(value, option) else None


def _typed(value: object, kind: type) -> Any:
    """The value as ``kind``, or None where it is not one."""
    if kind is float and type(value) in (int, float):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return value if type(value) is kind else None


def _in_range(value: Any, option: Option) -> bool:
    if option.choices and value not in option.choices:
        return False
    if option.minimum is not None and (value <= option.minimum if option.exclusive_minimum else value < option.minimum):
        return False
    return option.maximum is None or bool(value <= option.maximum)


def allowed(option: Option) -> str:
    """The values that are allowed, as a phrase: 'a number above 0 up to 10'."""
    if option.choices:
        return "one of " + ", ".join(str(choice) for choice in option.choices)
    found = KINDS.get(option.kind, "") if isinstance(option.kind, type) else ""
    if option.minimum is not None:
        found += f" {'above' if option.exclusive_minimum else 'from'} {_number(option.minimum)}"
    if option.maximum is not None:
        found += f" {'to' if option.minimum is not None and not option.exclusive_minimum else 'up to'} "
        found += _number(option.maximum)
    return found.strip()


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int too long to print
        return "a number that is far too large"
    return text if len(text) <= 60 else text[:60] + "…"
