"""What a script declares of itself: what the server and its operators get to know of it before there is any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from clientagent.errors import Failed
from clientagent.library.models import Model, Only
from clientagent.work import Work
from federation.fl import measures, options
from federation.fl.measures import Measure
from federation.fl.options import Option
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.declaration import Declaration, DeclarationError, from_json
from federation.fl.workloads.workload import source_digest

TRAIN_DEFAULTS: Mapping[str, float] = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}

Evaluate = Callable[[Any], Mapping[str, Any]]
"""evaluate(model) -> numbers by name. `num_examples` among them says on how many examples they were measured."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """A model that is to be measured, and what of the work a host needs for it.

    options: the script's own, with defaults. config: the session's epochs and so on. path: the model's file. state:
    what this site kept with its last update that counted.
    """

    session: str
    version: int
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    path: Path
    state: Any


class ScriptError(ValueError):
    """What a script says of itself cannot be used. str(error) says what is allowed."""


@dataclass(frozen=True, slots=True)
class Script:
    """A declaration, and what of a script is called when work of these kinds comes.

    measure: a host's, called in the place of `evaluate`. measures_itself: models to evaluate are handed out as work is,
    since the script's own loop measures them.
    """

    declaration: Declaration
    initial: Model | Callable[[Any], Model] | None
    evaluate: Evaluate | None
    only: Only = None
    measure: Callable[[Measuring], Mapping[str, Any]] | None = None
    measures_itself: bool = False

    @property
    def evaluates(self) -> bool:
        """Whether models can be measured with it."""
        return self.measures_itself or self.evaluate is not None or self.measure is not None

    def options_of(self, work: Work) -> dict[str, Any]:
        """The work's options, checked, with defaults. Raises Failed if this script is not what the work asks for."""
        mine = self.declaration
        if work.workload != mine.name:
            raise Failed(f"This site runs a script with the name {mine.name!r} and has no workload {work.workload!r}.")
        if work.workload_digest != mine.digest:
            raise Failed(
                f"The source of the script {mine.name!r} is {mine.digest[:12]}… here and {work.workload_digest[:12]}… "
                "in this session. Start the script with that source, or begin a new session."
            )
        return options.check(work.options, mine.options, f"script {mine.name}")


def declare(
    name: str,
    sources: Sequence[Path],
    *,
    given_options: Mapping[str, Any] | Sequence[Option],
    given_measures: Sequence[str | Measure],
    train_defaults: Mapping[str, float],
    kinds: Sequence[str],
    about: Mapping[str, Any],
) -> Declaration:
    """A script's entry in the catalogue. Raises ScriptError with what is wrong and what is allowed.

    sources: whose content the digest is of. about: version, title, summary and num_examples.
    """
    if isinstance(name, str) and name in WORKLOADS:
        raise ScriptError(f"{name!r} is the name of a built-in workload. Give the script another one.")
    told = Declaration(
        name=name,
        digest=_digest(name, sources, str(about.get("version", ""))),
        options=tuple(_options(given_options)),
        measures=tuple(map(_measure, _listed("measures", given_measures, "names and clientagent.Measure objects"))),
        train_defaults={**TRAIN_DEFAULTS, **_mapped("train_defaults", train_defaults)},
        kinds=tuple(kinds),
        **about,
    )
    try:
        return from_json(told.to_json(), "The script")
    except DeclarationError as error:
        raise ScriptError(str(error)) from None


def _digest(name: str, sources: Sequence[Path], version: str) -> str:
    """Of the source; without any, as in a notebook, of name and version."""
    there = [str(path) for path in sources if path.is_file()]
    if len(there) < len(sources) > 1:
        missing = next(path for path in sources if not path.is_file())
        raise ScriptError(f"sources: there is no file {missing}.")
    return source_digest(*there) if there else sha256(f"{name} {version}".encode()).hexdigest()


def _options(given: object) -> list[Option]:
    if not isinstance(given, Mapping):
        several = _listed("options", given, "clientagent.Option objects, or a dict of defaults by name")
        wrong = next((one for one in several if not isinstance(one, Option)), None)
        if wrong is not None:
            raise ScriptError(f"options: {wrong!r} is no clientagent.Option.")
        return several
    for name, default in given.items():
        if type(default) not in options.KINDS:
            raise ScriptError(f"options: the default of {name!r} must be a number, a text or a bool, not {default!r}.")
    return [Option(name, type(default), default) for name, default in given.items()]


def _measure(given: object) -> Measure:
    if isinstance(given, str):
        return measures.of(given)
    if isinstance(given, Measure):
        return given
    raise ScriptError(f"measures: {given!r} is neither a name nor a clientagent.Measure.")


def _listed(argument: str, given: object, of: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        raise ScriptError(f"{argument} must be a list of {of}, not {given!r}.")
    return list(given)


def _mapped(argument: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ScriptError(f"{argument} must be a dict, not {given!r}.")
    return given
