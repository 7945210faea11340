"""One keep-alive HTTP connection to the server: a request out, an answer in, no retries.

Weight bytes go through http.client, which costs a third of what urllib3 does.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead, RemoteDisconnected
from time import monotonic, time
from typing import Any, BinaryIO, Protocol
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from clientagent.errors import Failed

CONNECT_SECONDS = 15.0
STALL_SECONDS = 75.0  # without a single byte; a long poll of 30 s must fit
STALE_SECONDS = 1.0  # a connection that was closed while idle fails sooner
BUFFER_BYTES = 512 << 10  # of an answer at a time
MOST_JSON_BYTES = 16 << 20
STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class NotTheServer(HTTPException):
    """An answer that cannot be the server's: a login page, a proxy's words, another part than asked for."""

    def __init__(self, reason: str, answer: Answer | None = None) -> None:
        super().__init__(reason)
        self.answer = answer


class Sink(Protocol):
    """Where a streamed body goes. It knows how far it is, so that a cut download goes on from there."""

    @property
    def offset(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    def restart(self) -> None: ...
    def write(self, chunk: memoryview) -> None: ...


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of an open file. Where the system can it sends them itself, and they never come into this process."""

    file: BinaryIO
    offset: int
    num_bytes: int


Piece = bytes | memoryview | FilePart


@dataclass(frozen=True, slots=True)
class Request:
    """`body` is called anew for every attempt; `num_bytes` is its length."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterable[Piece]] | None = None
    num_bytes: int = 0


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


class Patient(HTTPConnection):
    """Its time-out is for each byte that moves, where `sendall` would give the whole chunk one."""

    def send(self, data: Any) -> None:
        if isinstance(data, bytes | memoryview) and self.sock is not None:
            rest = memoryview(data)
            while rest:
                rest = rest[self.sock.send(rest) :]
        elif isinstance(data, FilePart) and self.sock is not None:
            self._send_part(data)
        else:
            super().send(data)

    def _send_part(self, part: FilePart) -> None:
        """Raises Failed where it is the file that cannot be read: no network is away then."""
        try:
            part.file.seek(part.offset)  # where sendfile goes on by itself, it looks for no beginning
            sent = self.sock.sendfile(part.file, part.offset, part.num_bytes)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise Failed(f"A file cannot be read while it is sent: {error.strerror}.") from error
        if sent < part.num_bytes:
            raise Failed("A file was cut off while it was sent.")


class PatientTLS(Patient, HTTPSConnection):
    pass


class Connection:
    """Used by one thread; `abort` may come from another."""

    def __init__(self, server: str, stall_seconds: float = STALL_SECONDS) -> None:
        self._url = urlsplit(server)
        self._stall_seconds = stall_seconds
        self._proxy = _proxy(self._url)
        self._http: HTTPConnection | None = None
        self._asked_at = 0.0

    @property
    def waited(self) -> float:
        """Seconds since the last request began."""
        return monotonic() - self._asked_at

    def exchange(self, request: Request, sink: Sink | None = None) -> Answer:
        """Send a request and read the answer, a good one's body into `sink` where there is one.

        Raises OSError or HTTPException where no whole answer comes.
        """
        try:
            return self._read(self._send(request), request, sink)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def abort(self) -> None:
        """Wake whoever waits for this connection's bytes."""
        http = self._http
        if http is not None and isinstance(http.sock, socket.socket):
            with contextlib.suppress(OSError):
                http.sock.shutdown(socket.SHUT_RDWR)

    def _send(self, request: Request) -> HTTPResponse:
        if self._http is not None:
            try:
                return self._ask(self._http, request)
            except STALE:
                # Idle since the last request, it may have been closed by the server without our noticing.
                if self.waited > STALE_SECONDS:
                    raise
            self.close()
        self._http = self._open()
        return self._ask(self._http, request)

    def _ask(self, http: HTTPConnection, request: Request) -> HTTPResponse:
        self._asked_at = monotonic()
        headers = dict(request.headers)
        if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(request.num_bytes)
        if self._proxy and self._url.scheme == "http":
            headers |= _proxy_login(self._proxy)
        # It may refuse before it has read everything: its answer says more than the broken pipe.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            body: Any = request.body and request.body()  # its pieces go through Patient.send
            http.request(request.method, self._target(request.path), body, headers)
        return http.getresponse()

    def _read(self, response: HTTPResponse, request: Request, sink: Sink | None) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = b""
        if sink is not None and response.status in (200, 206):
            self._stream(response, headers, sink)
        else:
            body = response.read(MOST_JSON_BYTES)
            if response.read(1):
                raise NotTheServer("its answer is too long", Answer(response.status, headers))
            if response.length:
                raise IncompleteRead(body, response.length)
        if response.will_close:
            self.close()
        return Answer(response.status, headers, body)

    def _stream(self, response: HTTPResponse, headers: Mapping[str, str], sink: Sink) -> None:
        if wrong := _wrong_file(response.status, headers, sink):  # before any byte on the disk is given up
            raise NotTheServer(wrong, Answer(response.status, headers))
        if response.status == 200:
            sink.restart()  # whoever answered does not know Range: the whole file comes
        while chunk := response.read1(BUFFER_BYTES):  # not readinto, which loses what came just before a reset
            sink.write(memoryview(chunk))
        if response.length:
            raise IncompleteRead(b"", response.length)
        response.close()  # read1 leaves that to us

    def _open(self) -> HTTPConnection:
        via = self._proxy or self._url
        host, port = via.hostname or "", via.port
        kind: type[HTTPConnection] = Patient
        options: dict[str, Any] = {}
        if self._url.scheme == "https":
            kind, options = PatientTLS, {"context": _tls()}
        http = kind(
            host,
            port or (443 if via.scheme == "https" else 80),
            timeout=min(CONNECT_SECONDS, self._stall_seconds),
            **options,
        )
        http.auto_open = 0  # it would come back with the short timeout
        if self._proxy and self._url.scheme == "https":
            http.set_tunnel(self._url.hostname or "", self._url.port or 443, _proxy_login(self._proxy))
        http.connect()
        http.sock.settimeout(self._stall_seconds)
        return http

    def _target(self, path: str) -> str:
        """A proxy for plain HTTP is asked for the whole URL."""
        return f"{self._url.geturl()}{path}" if self._proxy and self._url.scheme == "http" else path


def _wrong_file(status: int, headers: Mapping[str, str], sink: Sink) -> str:
    """Why a body cannot be the file that the sink expects; empty if it can."""
    kind, length = headers.get("content-type", "").lower(), headers.get("content-length")
    if kind.startswith(("text/", "application/json", "application/xhtml", "application/xml", "application/problem")):
        return f"it sends {kind[:80]} instead of a model"
    if status == 206:
        given = headers.get("content-range", "")
        if not given.startswith(f"bytes {sink.offset}-"):
            return f"it sends another part than asked for: {headers.get('content-range')!r}"
        return "" if given.endswith((f"/{sink.num_bytes}", "/*")) else f"it sends a part of another file: {given!r}"
    if length is None:
        return "" if kind.startswith("application/octet-stream") else "it sends something without type and length"
    return "" if length == str(sink.num_bytes) else f"it sends {length[:20]} bytes for a model of {sink.num_bytes}"


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(url: SplitResult) -> SplitResult | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for this server. Never for the own machine."""
    host = url.hostname or ""
    address = getproxies().get(url.scheme)
    if not address or is_loopback(host) or proxy_bypass(host):
        return None
    return urlsplit(address if "//" in address else f"http://{address}")


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def explain(error: Exception) -> str:
    """Why no answer came, for the sentence `the server does not answer (…)`."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return "its name is not known"
        case TimeoutError():
            return "no sign of life"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case NotTheServer():
            return str(error)
        case IncompleteRead() | ConnectionError():
            return "the connection was cut"
        case _:
            return str(error) or type(error).__name__
