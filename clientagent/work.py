"""A piece of work, as the server describes it, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from clientagent.errors import Failed
from federation.fl import encodings


@dataclass(frozen=True, slots=True)
class Work:
    """Train from `base_digest` and send the delta to `update_url`."""

    participation: str
    session: str
    session_id: str
    round: int
    workload: str
    workload_digest: str
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    base_digest: str
    base_bytes: int
    base_url: str
    update_url: str
    part_bytes: int
    max_put_bytes: int
    encoding: str = encodings.PLAIN
    encoding_options: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[str, ...] = ()  # the model's statistics, which are never encoded

    @property
    def key(self) -> str:
        """Names what would be trained: the same for the same seat, even after a restart.

        More than the participation's id, which a server with a new database counts from 1 again.
        """
        parts = [self.participation, self.workload_digest, self.options, self.config, self.base_digest]
        return _key([*parts, self.encoding, self.encoding_options])

    @property
    def session_key(self) -> str:
        """Names the session for which residuals are kept, and what they are of."""
        return _key([self.session_id, self.session, self.workload_digest, self.options, self.encoding])


def _key(parts: list[Any]) -> str:
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def participation(body: Mapping[str, Any]) -> str:
    """The seat's id, which is enough to give it up. Raises Failed if it is missing or invalid."""
    value = body.get("participation")
    if not isinstance(value, str) or not re.fullmatch(r"[\w.~-]{1,100}", value):
        raise Failed(f"The server offers work without a participation: {str(value)[:100]!r}.")
    return value


def parse(body: Mapping[str, Any]) -> Work:
    """What to train. Raises Failed with a sentence if members are missing or invalid."""
    try:
        workload, base = body["workload"], body["base_model"]
        return Work(
            participation=participation(body),
            session=str(body["session"]["name"]),
            session_id=str(body["session"]["id"]),
            round=int(body["round"]),
            workload=str(workload["name"]),
            workload_digest=str(workload["digest"]),
            options=dict(workload["options"]),
            config=dict(body["config"]),
            base_digest=_digest(base["digest"]),
            base_bytes=_positive(base["num_bytes"]),
            base_url=str(base["url"]),
            update_url=str(body["update_url"]),
            part_bytes=_positive(body["part_bytes"]),
            max_put_bytes=int(body["max_put_bytes"]),
            encoding=str(body.get("encoding", encodings.PLAIN)),
            encoding_options=dict(body.get("encoding_options", {})),
            buffers=tuple(str(name) for name in body.get("buffers", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(f"The server's work cannot be read ({type(error).__name__}: {error}).") from error


def _digest(value: object) -> str:
    """It becomes a file's name, so it must be one."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{str(value)[:80]!r} is not a digest")
    return value


def _positive(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{str(value)[:80]!r} is not a positive number")
    return value
