"""The model that a session begins with. In Flower a ServerApp makes it; here a site does."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clientagent.errors import Failed, Misconfigured
from clientagent.hosts import objects
from clientagent.hosts.flower import records
from clientagent.hosts.flower.calling import Caller
from clientagent.hosts.flower.dialects import GET_PARAMETERS

FLAG = "--flower-initial"


class Beginning:
    """What --flower-initial names, or the client itself where an app is asked for its parameters.

    order: the names of the arrays as the app makes them; empty if this site does not know. Raises Misconfigured.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        given = caller.settings.flower_initial
        self._source = None if given is None else self._named_by(given)
        self.is_known = given is not None or caller.dialect.is_numbered
        self.order: list[str] = []
        if given is not None and not isinstance(self._source, Path):
            try:
                self.order = list(self._by_name(self._made({})))
            except Failed as error:
                raise Misconfigured(f"{FLAG} {given}: {error}") from error

    def _named_by(self, given: str) -> Any:
        return self._caller.project.load(given, FLAG) if ":" in given else objects.model_file(given, FLAG)

    def model(self, options: Mapping[str, Any]) -> Any:
        """A torch module, arrays by name or a file, for a session's options. Raises Failed."""
        made = self._made(options)
        is_module = hasattr(made, "state_dict") and not self._caller.dialect.is_numbered
        return made if is_module or isinstance(made, Path) else self._by_name(made)

    def _made(self, options: Mapping[str, Any]) -> Any:
        config = self._caller.config.run_config(options, {})
        source = self._source
        if source is None:
            context = self._caller.context("", options, {}, None)
            return self._caller.ask(GET_PARAMETERS, 0, None, config, context).arrays
        if not callable(source) or _is_module(source):
            return source
        try:
            return source(config) if _wants_one(source) else source()
        except Exception as error:
            raise self._caller.failed(error) from error

    def _by_name(self, made: Any) -> dict[str, Any]:
        """Arrays by name, numbered if the app knows no names. Raises Failed for what is no model."""
        if hasattr(made, "state_dict"):
            made = made.state_dict()
        if isinstance(made, self._caller.flwr.array_record):
            made = records.tensors(made)
        if isinstance(made, Mapping):
            names = range(len(made)) if self._caller.dialect.is_numbered else made
            found = dict(zip(map(str, names), made.values(), strict=True))
        elif isinstance(made, Sequence) and not isinstance(made, str | bytes):
            found = {str(place): array for place, array in enumerate(made)}
        else:
            raise Failed(
                f"An object of the type {type(made).__name__} is no model. Give a torch module, a state_dict, a list "
                "of NumPy arrays or an ArrayRecord."
            )
        if not found:
            raise Failed("The app makes a model without any array.")
        return found


def _is_module(source: Any) -> bool:
    return hasattr(source, "state_dict") and not inspect.isclass(source)


def _wants_one(source: Any) -> bool:
    """Whether a function cannot be called without an argument."""
    declared = inspect.signature(source).parameters.values()
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in declared
    )
