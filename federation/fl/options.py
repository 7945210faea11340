"""Options that a workload or a strategy declares: what a form shows and what a request is checked against."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class OptionError(ValueError):
    """An option that is not allowed. str(error) says what is wrong and what is allowed; ``field`` names the option."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option.

    kind: int, float, str or bool. minimum and maximum bound numbers, both inclusive unless
    ``exclusive_minimum``; choices, where given, are all the values that are allowed.
    help: one line for the form.
    """

    name: str
    kind: type
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    exclusive_minimum: bool = False
    help: str = ""


def check(given: Mapping[str, object], declared: Sequence[Option], what: str) -> dict[str, Any]:
    """Every declared option with its given value or its default, in the order of declaration.

    what: whose options these are, for the sentences, e.g. "workload synthetic". A whole number
    is accepted where a number is asked for, and becomes a float; a bool is not a number.
    Raises OptionError for an unknown name, another type, or a value out of range.
    """
    names = [option.name for option in declared]
    for name in given:
        if name not in names:
            allowed = f"it has {', '.join(names)}" if names else "it has none"
            raise OptionError(str(name), f"{what} has no option {_shown(name)}: {allowed}.")
    return {option.name: _value(given.get(option.name, option.default), option, what) for option in declared}


def _value(given: object, option: Option, what: str) -> Any:
    value = _typed(given, option.kind)
    if value is None or not _in_range(value, option):
        raise OptionError(option.name, f"{option.name} of {what} must be {_allowed(option)}, not {_shown(given)}.")
    return value


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


def _allowed(option: Option) -> str:
    if option.choices:
        return "one of " + ", ".join(str(choice) for choice in option.choices)
    allowed = KINDS[option.kind]
    if option.minimum is not None:
        allowed += f" {'above' if option.exclusive_minimum else 'from'} {_number(option.minimum)}"
    if option.maximum is not None:
        allowed += f" {'to' if option.minimum is not None and not option.exclusive_minimum else 'up to'} "
        allowed += _number(option.maximum)
    return allowed


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int too long to print
        return "a number that is far too large"
    return text if len(text) <= 60 else text[:60] + "…"
