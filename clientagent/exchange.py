"""One exchange over HTTP: the request, the answer, and the files that their bodies come from and go to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from time import time
from typing import Any, BinaryIO, Protocol

NO_METHOD = (405, 501)  # the method is blocked
TOO_LARGE = 413


class NotTheServer(HTTPException):
    """An answer that cannot be the server's: a login page, a proxy's words, another part than asked for."""

    def __init__(self, reason: str, answer: Answer | None = None) -> None:
        super().__init__(reason)
        self.answer = answer


class Sink(Protocol):
    """Where a streamed body goes. It knows how far it is, so that a cut download continues there."""

    @property
    def offset(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    def restart(self) -> None: ...
    def write(self, chunk: memoryview) -> None: ...


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of an open file. Where the system can, it sends them itself, and they never come into this process."""

    file: BinaryIO
    offset: int
    num_bytes: int


Piece = bytes | memoryview | FilePart


@dataclass(frozen=True, slots=True)
class Request:
    """body: its pieces; each attempt iterates over them again. num_bytes: its length.

    only_once: the server may keep a part of the body, so that a new connection must not repeat it unasked.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[Piece] | None = None
    num_bytes: int = 0
    only_once: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""
    ours: bool = True  # False: a stranger on the way answered

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise NotTheServer("something that is not JSON answers there")
        return value

    @property
    def detail(self) -> str:
        """The server's sentence about what it refuses."""
        try:
            detail = self.json().get("detail")
        except NotTheServer:
            detail = None
        return str(detail) if detail else f"the server answers {self.status}"

    @property
    def sentences(self) -> str:
        """The same, with the sentences about invalid members."""
        detail, texts = self.detail, []
        with contextlib.suppress(NotTheServer, AttributeError, TypeError):
            texts = [str(error.get("detail", "")) for error in self.json().get("errors", [])]
        return " ".join([detail, *(text for text in texts if text not in detail)])

    @property
    def retry_after(self) -> float:
        """Seconds the server asks us to wait; 0 where it does not."""
        value = self.headers.get("retry-after", "")
        if value.strip().isdecimal():
            return float(value)
        with contextlib.suppress(ValueError):
            return max(0.0, parsedate_to_datetime(value).timestamp() - time())
        return 0.0
