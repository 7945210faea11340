"""The one door to nvflare: what is used of it is taken from its modules here, when a site hosts a script."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from clientagent.errors import Misconfigured

RANGE = "nvflare>=2.9,<3"
ENGINE_KIND = "CLIENT_API_TYPE"  # a variable that would choose another of nvflare's engines
IN_PROCESS = "IN_PROCESS_API"


class FLModel(Protocol):
    """What scripts get and send. params_type: FULL or DIFF, None without params."""

    params_type: str | None
    params: Any
    optimizer_params: Any
    metrics: Mapping[str, Any] | None
    meta: Mapping[str, Any] | None


class MakesFLModel(Protocol):
    def __call__(
        self,
        *,
        params_type: str,
        params: Mapping[str, Any],
        current_round: int | None,
        meta: dict[str, Any],
    ) -> FLModel: ...


@dataclass(frozen=True, slots=True)
class NVFlare:
    """What a host needs of nvflare. calls: the names of the functions that its Client API calls of an engine."""

    version: str
    fl_model: MakesFLModel
    calls: frozenset[str]
    _engine: Any
    _bus: Any
    _slot: str
    _api: Any

    def fill_slot(self, engine: object) -> None:
        """Let `flare.init()` find an engine. Raises Misconfigured if it lacks a function that is called of it.

        nvflare takes an instance of its own class alone, so the engine's functions stand in for that one's.
        """
        os.environ[ENGINE_KIND] = IN_PROCESS
        if missing := sorted(name for name in self.calls if not hasattr(engine, name)):
            raise Misconfigured(f"nvflare {self.version} calls {missing[0]!r}, which is not known here. {_other()}")
        found = self._engine(task_metadata={})
        for name in self.calls:
            setattr(found, name, getattr(engine, name))
        self._bus.put_data(self._slot, found)

    def forget(self) -> None:
        """Let the next `flare.init()` begin anew, as in a new process."""
        self._api.context_dict.clear()
        self._api.default_context = None


def enter() -> NVFlare:
    """Import nvflare. Raises Misconfigured with the command that installs it where it is missing or another one."""
    installed = _version()
    try:
        client = import_module("nvflare.client")
        specification = import_module("nvflare.client.api_spec")
        return NVFlare(
            version=installed,
            fl_model=client.FLModel,
            calls=frozenset(specification.APISpec.__abstractmethods__),
            _engine=import_module("nvflare.client.in_process.api").InProcessClientAPI,
            _bus=import_module("nvflare.fuel.data_event.data_bus").DataBus(),
            _slot=specification.CLIENT_API_KEY,
            _api=import_module("nvflare.client.api"),
        )
    except (ImportError, AttributeError) as error:
        raise Misconfigured(f"nvflare {installed} cannot be used here ({error}). {_other()}") from error


def _version() -> str:
    try:
        return importlib.metadata.version("nvflare")
    except importlib.metadata.PackageNotFoundError:
        raise Misconfigured(
            f"An NVFlare script needs the package nvflare, which is not installed: {_command()}"
        ) from None


def _other() -> str:
    return f"Install another version: {_command()}"


def _command() -> str:
    return f'{sys.executable} -m pip install "{RANGE}"'
