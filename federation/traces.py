"""Spans for a collector of OpenTelemetry, where FL_TRACES names one. They are sent on a thread of the library.

The library takes half a second to load and is loaded with the first span.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.utils.crypto import salted_hmac

EXPORTER = "federation.otlp"
SERVER, AGENT = "fl-server", "fl-agent"  # `service.name`


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time. path: its name below its parents', unique in its trace; the first one has the trace's key.

    instance: which of the service's processes. failure: why it did not do what it was for.
    """

    path: tuple[str, ...]
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    failure: str = ""
    service: str = SERVER
    instance: str = ""

    @property
    def trace_id(self) -> int:
        """128 bits. The same whoever sends it, and however often."""
        return _id(16, self.path[:1])

    @property
    def span_id(self) -> int:
        """64 bits."""
        return _id(8, self.path)

    @property
    def parent_id(self) -> int | None:
        return _id(8, self.path[:-1]) if len(self.path) > 1 else None


def are_wanted() -> bool:
    return bool(settings.FL_TRACES)


def send(spans: Sequence[Span]) -> None:
    """Returns at once. Where the collector does not answer for long, they are lost, and the log says so."""
    importlib.import_module(EXPORTER).processor(settings.FL_TRACES).send(spans)


def _id(num_bytes: int, path: Sequence[str]) -> int:
    text = "/".join(path)
    return int.from_bytes(salted_hmac("federation.traces", text, algorithm="sha256").digest()[:num_bytes], "big") or 1
