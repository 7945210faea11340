"""The one door to flwr: what is used of it is taken from its public modules here, when a site hosts an app."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from clientagent.errors import Misconfigured

RANGE = "flwr>=1.42,<2"
TELEMETRY = "FLWR_TELEMETRY_ENABLED"


@dataclass(frozen=True, slots=True)
class Flwr:
    """The classes of flwr that a host needs. version: of the package."""

    version: str
    array: Any
    array_record: Any
    client_app: Any
    config_record: Any
    context: Any
    message: Any
    metadata: Any
    metric_record: Any
    record_dict: Any


def enter() -> Flwr:
    """Import flwr. Raises Misconfigured with the command that installs it where it is missing or too old."""
    os.environ.setdefault(TELEMETRY, "0")  # this site talks to its own server and to nobody else
    installed = _version()
    try:
        app, client = import_module("flwr.app"), import_module("flwr.clientapp")
        return Flwr(
            version=installed,
            array=app.Array,
            array_record=app.ArrayRecord,
            client_app=client.ClientApp,
            config_record=app.ConfigRecord,
            context=app.Context,
            message=app.Message,
            metadata=app.Metadata,
            metric_record=app.MetricRecord,
            record_dict=app.RecordDict,
        )
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("flwr"):
            raise Misconfigured(f"flwr {installed} cannot be imported: {error}.") from error
        raise Misconfigured(
            f"flwr {installed} has not what is needed here ({error}). Install another version: {_command()}"
        ) from error


def _version() -> str:
    try:
        return version("flwr")
    except PackageNotFoundError:
        raise Misconfigured(f"A Flower app needs the package flwr, which is not installed: {_command()}") from None


def _command() -> str:
    return f'{sys.executable} -m pip install "{RANGE}"'
