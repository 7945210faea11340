"""What is told of a workload where its code is not: an entry of a catalogue, checked and bounded member by member.

A site tells its server of each workload that it has; a child process tells the web process of foreign ones. Members
that this release does not know are dropped. To add one, add it to `Declaration`, `of`, `to_json` and `from_json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from federation.fl.measures import Combine, Direction, Measure
from federation.fl.numbers import bounded
from federation.fl.options import Option, OptionError, allowed, check
from federation.fl.workloads.measured import measures_of
from federation.fl.workloads.workload import Workload

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

MOST_ENTRIES = 50  # of one catalogue
MOST_BYTES = 256 << 10  # of one catalogue as JSON
MOST_OPTIONS = MOST_MEASURES = MOST_CHOICES = MOST_KINDS = 50
LONGEST_NAME, LONGEST_VERSION, LONGEST_TITLE, LONGEST_TEXT = 64, 64, 100, 500
LONGEST_UNIT = 16
MOST_COUNT = 10**12  # examples
LARGEST_WHOLE = 2**53  # of an option; every reader of JSON knows it exactly

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
NAME_ALLOWED = "1 to 64 characters of a-z, 0-9 and -, beginning with a letter"
OUR_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")  # a built-in workload has an underscore
OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")

KINDS: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
KIND_NAMES = {kind: name for name, kind in KINDS.items()}
TRAINING = (  # what `train_defaults` may hold
    Option("epochs", int, 1, 1, 1000),
    Option("batch_size", int, 32, 1, 1_000_000),
    Option("learning_rate", float, 0.01, 0, 1000, exclusive_minimum=True),
)


class DeclarationError(ValueError):
    """An entry that cannot be used. str(error) is a sentence that names the entry and the member.

    member: the member's name, empty if the entry is no object. why: the sentence after it.
    """

    def __init__(self, entry: str, member: str, why: str) -> None:
        super().__init__(f"{entry}: {member} {why}" if member else f"{entry} {why}")
        self.member = member
        self.why = why


class _Wrong(ValueError):
    """member: where in the entry. why: what it must be."""

    def __init__(self, member: str, why: str) -> None:
        super().__init__(f"{member} {why}")
        self.member, self.why = member, why


@dataclass(frozen=True, slots=True)
class Declaration:
    """A workload as it is told. digest: of what runs there, 64 hex digits. version, title, summary: empty if missing.

    num_examples: how many the site has, None if they are not counted. kinds: the kinds of work that it does with it.
    follows_settings: whether it trains with the optimizer and the other settings that a session has for all.
    """

    name: str
    digest: str
    version: str = ""
    title: str = ""
    summary: str = ""
    options: tuple[Option, ...] = ()
    measures: tuple[Measure, ...] = ()
    train_defaults: Mapping[str, float] = field(default_factory=dict)
    num_examples: int | None = None
    kinds: tuple[str, ...] = ()
    follows_settings: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it is sent. `from_json` gives the same declaration again."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "title": self.title,
            "summary": self.summary,
            "options": [_option_as_json(option) for option in self.options],
            "measures": [measure.as_json() for measure in self.measures],
            "train_defaults": dict(self.train_defaults),
            "num_examples": self.num_examples,
            "kinds": list(self.kinds),
            "follows_settings": self.follows_settings,
        }


def of(workload: Workload, *, num_examples: int | None = None, kinds: Iterable[str] = ()) -> Declaration:
    """What a workload that is here declares. Raises DeclarationError, as `from_json` does, for what no reader takes."""
    told = Declaration(
        name=workload.name,
        digest=workload.digest(),
        version=workload.version,
        title=workload.title,
        summary=workload.summary,
        options=_each("options", workload.options, Option),
        measures=_each("measures", getattr(workload, "measures", ()), Measure) or measures_of(workload),
        train_defaults=_mapping(workload.train_defaults),
        num_examples=num_examples,
        kinds=tuple(kinds),
        follows_settings=getattr(workload, "follows_settings", False) is True,
    )
    return _from_json(told.to_json(), "A workload", OUR_NAME)


def _each(member: str, given: object, kind: type[T]) -> tuple[T, ...]:
    if not isinstance(given, list | tuple) or any(not isinstance(one, kind) for one in given):
        raise DeclarationError("A workload", member, f"must be a tuple of objects of the type {kind.__name__}.")
    return tuple(given)


def _mapping(given: object) -> Mapping[str, float]:
    if not isinstance(given, Mapping):
        raise DeclarationError("A workload", "train_defaults", f"must be a dict, not {_shown(given)}.")
    return given


def from_json(given: object, entry: str = "An entry of the catalogue") -> Declaration:
    """A declaration from outside. Everything in it has a bound, members that are not known are dropped.

    entry: what sentences call it as long as its name is not known.
    Raises DeclarationError with a sentence that names the entry, the member and what is allowed.
    """
    return _from_json(given, entry, NAME)


def _from_json(given: object, entry: str, names: re.Pattern[str]) -> Declaration:
    if not isinstance(given, Mapping):
        raise DeclarationError(entry, "", f"must be an object, not {_shown(given)}.")
    name = given.get("name")
    if not isinstance(name, str) or not names.fullmatch(name):
        raise DeclarationError(entry, "name", _why(NAME_ALLOWED, name))
    try:
        return Declaration(
            name=name,
            digest=_matching(given, "digest", DIGEST, "64 hexadecimal digits in lower case"),
            version=_text(given, "version", LONGEST_VERSION),
            title=_text(given, "title", LONGEST_TITLE),
            summary=_text(given, "summary", LONGEST_TEXT),
            options=_several(given, "options", MOST_OPTIONS, _option),
            measures=_several(given, "measures", MOST_MEASURES, _measure),
            train_defaults=_train_defaults(given.get("train_defaults")),
            num_examples=_count(given.get("num_examples")),
            kinds=_words(given.get("kinds")),
            follows_settings=given.get("follows_settings") is True,
        )
    except _Wrong as error:
        raise DeclarationError(f"Workload {name!r}", error.member, error.why) from error


def kept(given: object) -> Declaration | None:
    """What was told before and is stored since. None if there is nothing that this release takes."""
    try:
        return from_json(given)
    except DeclarationError:
        return None


# ---- members


def _text(given: Mapping[str, Any], member: str, longest: int) -> str:
    """A text in one line; empty if it is missing."""
    value = given.get(member)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise _must(member, f"at most {longest} printable characters", value)
    return value


def _matching(given: Mapping[str, Any], member: str, pattern: re.Pattern[str], what: str) -> str:
    value = given.get(member)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _must(member, what, value)
    return value


def _several(given: Mapping[str, Any], member: str, most: int, read: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """A list of objects, each with a name of its own. What is wrong in one is said with its place, from 1."""
    found: dict[str, T] = {}
    for place, one in enumerate(_list(given.get(member), member, most), start=1):
        if not isinstance(one, Mapping):
            raise _must(f"{member} {place}", "an object", one)
        try:
            value = read(one)
        except _Wrong as error:
            raise _Wrong(f"{member} {place}: {error.member}", error.why) from error
        if one["name"] in found:
            raise _Wrong(f"{member} {place}: name", f"is {one['name']!r}, like that of another one.")
        found[one["name"]] = value
    return tuple(found.values())


def _list(value: object, member: str, most: int) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > most:
        raise _must(member, f"a list of at most {most}", value)
    return value


def _train_defaults(value: object) -> dict[str, float]:
    """Those of the known ones that are there."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _must("train_defaults", "an object", value)
    declared = [option for option in TRAINING if value.get(option.name) is not None]
    return {option.name: _allowed(option, value[option.name], f"train_defaults: {option.name}") for option in declared}


def _count(value: object) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= MOST_COUNT):
        return value
    raise _must("num_examples", f"null or a whole number from 0 to {MOST_COUNT}", value)


def _words(value: object) -> tuple[str, ...]:
    words = _list(value, "kinds", MOST_KINDS)
    for word in words:
        if not isinstance(word, str) or not WORD.fullmatch(word):
            raise _must("kinds", "names of kinds of work", word)
    return tuple(dict.fromkeys(words))


# ---- options and measures


def _option_as_json(option: Option) -> dict[str, Any]:
    """The members that are declared. A kind that no form has becomes its name, which `_option` refuses."""
    kind = KIND_NAMES.get(option.kind, str(option.kind)) if isinstance(option.kind, type) else str(option.kind)
    about = {"minimum": option.minimum, "maximum": option.maximum}
    given: dict[str, Any] = {name: value for name, value in about.items() if value is not None}
    given |= {"choices": list(option.choices)} if option.choices else {}
    given |= {"exclusive_minimum": True} if option.exclusive_minimum else {}
    given |= {name: text for name in ("help", "label") if (text := getattr(option, name))}
    return {"name": option.name, "kind": kind, "default": option.default, **given}


def _option(given: Mapping[str, Any]) -> Option:
    name = _matching(given, "name", OPTION_NAME, "1 to 64 letters, digits and _, beginning with a letter")
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _must("kind", f"one of {', '.join(KINDS)}", kind)
    about: dict[str, Any] = {
        "minimum": _limit(given, "minimum", KINDS[kind]),
        "maximum": _limit(given, "maximum", KINDS[kind]),
        "exclusive_minimum": given.get("exclusive_minimum") is True and given.get("minimum") is not None,
        "help": _text(given, "help", LONGEST_TEXT),
        "label": _text(given, "label", LONGEST_TITLE),
    }
    bare = Option(name, KINDS[kind], None, **about)
    choices = [_value(bare, choice, "choices") for choice in _list(given.get("choices"), "choices", MOST_CHOICES)]
    chosen = replace(bare, choices=tuple(choices))
    return replace(chosen, default=_value(chosen, given.get("default"), "default"))


def _limit(given: Mapping[str, Any], member: str, kind: type) -> Any:
    """A bound of a number, in the option's own kind."""
    value = given.get(member)
    if value is None:
        return None
    if kind not in (int, float):
        raise _Wrong(member, "is for options of the kind int or float.")
    return _value(Option(member, kind, None), value, member)


def _value(option: Option, value: object, member: str) -> Any:
    """A value of an option, as its kind."""
    found = _allowed(option, value, member)
    if isinstance(found, str) and (len(found) > LONGEST_TEXT or not found.isprintable()):
        raise _must(member, f"at most {LONGEST_TEXT} printable characters", found)
    if type(found) is int and abs(found) > LARGEST_WHOLE:
        raise _must(member, "a whole number from -2^53 to 2^53", found)
    if type(found) is float and bounded(found) is None:
        raise _must(member, "a number from -1e30 to 1e30", found)
    return found


def _allowed(option: Option, value: object, member: str) -> Any:
    try:
        return check({option.name: value}, [option], "")[option.name]
    except OptionError:
        raise _must(member, allowed(option), value) from None


def _measure(given: Mapping[str, Any]) -> Measure:
    name = _text(given, "name", LONGEST_NAME)
    if not name:
        raise _Wrong("name", f"must be 1 to {LONGEST_NAME} printable characters.")
    return Measure(
        name,
        _text(given, "title", LONGEST_TITLE),
        _member(Direction.NONE, given, "direction"),
        _text(given, "unit", LONGEST_UNIT),
        _member(Combine.MEAN, given, "combine"),
    )


def _member(default: E, given: Mapping[str, Any], member: str) -> E:
    """The member of an enumeration; the default one if there is none."""
    kind, value = type(default), given.get(member)
    if value is None:
        return default
    if not isinstance(value, str) or value not in list(kind):
        raise _must(member, f"one of {', '.join(kind)}", value)
    return kind(value)


def _must(member: str, be: str, value: object) -> _Wrong:
    return _Wrong(member, _why(be, value))


def _why(be: str, value: object) -> str:
    return f"is missing. It must be {be}." if value is None else f"must be {be}, not {_shown(value)}."


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int too long to print
        return "a value that is far too large"
    return text if len(text) <= 60 else f"{text[:60]}…"
