"""One keep-alive HTTP connection to the server: a request out, an answer in, no retries.

Weight bytes go through http.client, which costs a third of what urllib3 does.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead, RemoteDisconnected
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from clientagent import codings, messages, proxies
from clientagent.codings import Decoder
from clientagent.errors import Failed
from clientagent.exchange import Answer, FilePart, NotTheServer, Request, Sink

CONNECT_SECONDS = 15.0
STALL_SECONDS = 75.0  # without a single byte; a long poll of 30 s must fit
STALE_SECONDS = 1.0  # a connection that was closed while idle fails sooner
BUFFER_BYTES = 512 << 10  # of an answer at a time
MOST_JSON_BYTES = 16 << 20
STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


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
        """Raises Failed if the file cannot be read, for then the network is not to blame."""
        try:
            part.file.seek(part.offset)  # without sendfile, Python reads on from here
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
        self._proxy = proxies.proxy_for(self._url)
        self._http: HTTPConnection | None = None
        self._asked_at = 0.0
        self.was_sending = False  # a body was on its way when the last exchange ended without an answer

    @property
    def waited(self) -> float:
        """Seconds since the last request began."""
        return monotonic() - self._asked_at

    def exchange(self, request: Request, sink: Sink | None = None) -> Answer:
        """Send a request and read the answer. A good one's body goes into `sink`, if there is one.

        Raises OSError or HTTPException if no whole answer comes.
        """
        self.was_sending = False
        try:
            answer = self._read(self._send(request), sink)
        except BaseException:
            self.close()
            raise
        self.was_sending = False
        return answer

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def abort(self) -> None:
        """Wake the thread that waits for this connection's bytes."""
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
                if self.waited > STALE_SECONDS or request.only_once:
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
            headers |= proxies.sign_in(self._proxy)
        # It may refuse before it has read everything: its answer says more than the broken pipe.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            body: Any = request.body  # its pieces go through Patient.send
            self.was_sending = body is not None
            http.request(request.method, self._target(request.path), body, headers)
        return http.getresponse()

    def _read(self, response: HTTPResponse, sink: Sink | None) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status < 200:  # of this answer another part follows, which must not be taken for the next one
            raise NotTheServer(f"something on the way sends {response.status} before the answer")
        body = b""
        if sink is not None and response.status in (200, 206):
            self._stream(response, headers, sink)
        else:
            body = response.read(MOST_JSON_BYTES)
            if response.read(1):
                raise NotTheServer("its answer is too long", Answer(response.status, headers))
            if response.length:
                raise IncompleteRead(body, response.length)
            body = _plain(body, headers)
        if response.will_close:
            self.close()
        return Answer(response.status, headers, body)

    def _stream(self, response: HTTPResponse, headers: Mapping[str, str], sink: Sink) -> None:
        if wrong := messages.why_another_file(
            response.status, headers, sink
        ):  # before any byte on the disk is given up
            raise NotTheServer(wrong, Answer(response.status, headers))
        decoder = Decoder(codings.named(headers))
        if response.status == 200:
            sink.restart()  # without Range, the whole file comes
        while chunk := response.read1(BUFFER_BYTES):  # not readinto, which loses what came just before a reset
            for piece in decoder.pieces(chunk):
                sink.write(memoryview(piece))
        if response.length or decoder.is_cut:
            raise IncompleteRead(b"", response.length or 1)
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
            http.set_tunnel(self._url.hostname or "", self._url.port or 443, proxies.sign_in(self._proxy))
        http.connect()
        http.sock.settimeout(self._stall_seconds)
        return http

    def _target(self, path: str) -> str:
        """A proxy for plain HTTP is asked for the whole URL."""
        return f"{self._url.geturl()}{path}" if self._proxy and self._url.scheme == "http" else path


def _plain(body: bytes, headers: Mapping[str, str]) -> bytes:
    """A short body without its content coding."""
    if not body:
        return body
    decoder, plain = Decoder(codings.named(headers)), bytearray()
    for piece in decoder.pieces(body):
        plain += piece
        if len(plain) > MOST_JSON_BYTES:
            raise NotTheServer("its answer is too long")
    if decoder.is_cut:
        raise IncompleteRead(bytes(plain))
    return bytes(plain)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
