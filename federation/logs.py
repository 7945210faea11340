"""A line of JSON for each line of the log, with the ids of what the process was at work on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar

R = TypeVar("R")

did = logging.getLogger("federation.did")  # what went well: it is said only where the log is JSON
_about: ContextVar[dict[str, int | str]] = ContextVar("about", default={})  # noqa: B039  nobody changes it


@contextmanager
def about(**ids: int | str) -> Iterator[None]:
    """Within the block, every line that this thread or task logs has these members: session, round, request."""
    token = _about.set(_about.get() | ids)
    try:
        yield
    finally:
        _about.reset(token)


def carried(function: Callable[[], R]) -> Callable[[], R]:
    """The function with the ids of whoever asks for it, for another thread."""
    ids = _about.get()
    if not ids:
        return function

    def do() -> R:
        with about(**ids):
            return function()

    return do


class AsJson(logging.Formatter):
    """time, level, logger and message, then the ids, and the traceback of an exception as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _about.get()
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
