"""daphne with five changes for its memory, its speed with weights and its defence against strangers.

A body goes to the application as it arrives; stock daphne gathers it in a file first, whatever its size and sender.
`send` waits until the socket takes more; stock daphne would keep a whole answer in memory for every slow reader. The
kernel sends parts of files (ASGI's extension `http.response.zerocopysend`). Connections are limited in number and time
(`flsite.gate.connections`). When it is told to end, what is under way may finish.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import daphne.server  # first: it installs the reactor
from daphne import http_protocol, ws_protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from federation.api import problems
from federation.api.draining import draining
from federation.api.limits import MOST_MESSAGE
from federation.api.raw import SENDFILE, Receive, Scope, bytes_at_a_time
from flsite.gate.answers import is_api, missing
from flsite.gate.channel import Channel
from flsite.gate.connections import Connections
from flsite.pace import Paced, unsent_bytes
from flsite.websockets import PacedWebSocket

ASGI = {"version": "3.0"}
DRAIN_SECONDS = 10.0  # for what is under way when the process is told to end
RESTARTS = 1012  # why a websocket closes
LARGE = 256 << 10  # bytes: a larger body arrives in several pieces
MOST_WAITING = 4  # pieces that the application has not taken yet
CAN_SEND_FILES = hasattr(os, "sendfile")  # not so on Windows


class Inlet(asyncio.Queue[dict[str, Any]]):
    """A body on its way to the application. The socket is not read while too much of it waits here.

    on_demand: called when the application asks for the body and none of it has arrived.
    """

    def __init__(self, socket: Any) -> None:
        super().__init__()
        self._socket, self._paused, self._whole = socket, False, False
        self.on_demand: Callable[[], None] | None = None

    def put_nowait(self, message: dict[str, Any]) -> None:
        # daphne, which sees no body, says that it is empty.
        if message["type"] == "http.request" and not (message["body"] or self._whole):
            return
        super().put_nowait(message)
        if not self._paused and self.qsize() >= MOST_WAITING:
            self._paused = True
            self._socket.pauseProducing()

    async def get(self) -> dict[str, Any]:
        if self.on_demand is not None:
            demand, self.on_demand = self.on_demand, None
            if self.empty() and not self._whole:
                demand()
        message = await super().get()
        if self.qsize() <= MOST_WAITING // 2:
            self.read_on()
        return message

    def take_whole(self) -> bytes | None:
        """The body, if all of it is here in one piece."""
        if not self._whole or self.qsize() != 1:
            return None
        body: bytes = self.get_nowait()["body"]
        return body

    def empty_out(self) -> None:
        """The application takes no more of the body: let go of what waits here, and read on to discard the rest.

        Requests and their connections refer to each other, so that what they hold may live for a while.
        """
        _arriving.discard(self)
        while not self.empty():
            self.get_nowait()
        self.read_on()

    def read_on(self) -> None:
        if self._paused:
            self._paused = False
            self._socket.resumeProducing()

    def arrived(self, data: bytes) -> None:
        self.put_nowait({"type": "http.request", "body": data, "more_body": True})

    def end(self) -> None:
        self._whole = True
        _arriving.discard(self)
        last = self._queue[-1] if self.qsize() else None  # type: ignore[attr-defined]
        if last is not None and last["type"] == "http.request":
            last["more_body"] = False  # one message for a body that came in one piece
        else:
            self.put_nowait({"type": "http.request", "body": b"", "more_body": False})


_arriving: WeakSet[Inlet] = WeakSet()  # bodies on their way that may be large


class PacedRequest(Paced, http_protocol.WebRequest):
    """A request whose body is handed on as it arrives and whose answer is a Twisted producer.

    A producer is told when the socket is full and when it is not. An answer that is ready before the body is whole
    is sent at once; the channel then discards the rest of the body, within its limits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parsePOSTFormSubmission = False  # Django does it; Twisted would parse the type of every body before
        self.inlet: Inlet | None = None
        self._body_is_whole = True
        self._answered = False
        self._paced = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(0)
        if length == 0:
            return
        channel = self.channel
        self.inlet, self._body_is_whole = Inlet(channel.transport), False
        if length is None or length > LARGE:
            _arriving.add(self.inlet)
            channel.transport.bufferSize = bytes_at_a_time(len(_arriving))
        super().requestReceived(channel._command, channel._path, channel._version)

    def process(self) -> Any:
        if self.inlet is not None and self.requestHeaders.hasHeader(b"upgrade"):
            # One side would read what follows as a body, the other as messages.
            return self.basic_error(400, b"Bad Request", "A request with a body cannot change the protocol.")
        return super().process()

    def handleContentChunk(self, data: bytes) -> None:
        assert self.inlet is not None
        if self._answered:
            self.channel.drained(len(data))
        else:
            self.inlet.arrived(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self.inlet is None:
            super().requestReceived(command, path, version)
            return
        self._body_is_whole = True
        if self._answered:
            self.finish()
        else:
            self.inlet.end()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body"):
            self._pace()
        super().handle_reply(message)

    def _pace(self) -> None:
        if not self._paced and self.channel is not None:
            self._paced = True
            self.registerProducer(self, True)

    async def send_file(self, file: int, offset: int, count: int) -> None:
        """Send bytes of an open file, as the socket takes them. They never come into this process."""
        self._pace()
        self.write(b"")  # the headers
        end = offset + count
        while offset < end and await self._has_room():
            with suppress(BlockingIOError, ConnectionError):  # a connection that is gone, Twisted notices itself
                sent = os.sendfile(self.channel.transport.fileno(), file, offset, end - offset)
                if not sent:
                    raise EOFError("A file was cut off while it was sent.")
                offset += sent
                self.sentLength += sent

    async def _has_room(self) -> bool:
        """Wait until all that was written is sent and the socket takes more. False: the caller hung up."""
        if self.channel is not None:
            transport = self.channel.transport
            self.writable.clear()
            transport.producerPaused = True  # so that it resumes us once its buffer is empty, though it never was full
            transport.startWriting()
            await self.writable.wait()
        return self.channel is not None

    def finish(self) -> None:
        if self.inlet is not None:
            self._answered = True
            self.inlet.empty_out()
        if not self._body_is_whole:
            self.channel.drain(self, last=b"close" in self.responseHeaders.getRawHeaders(b"connection", []))
            return
        if self._paced:
            self._paced = False
            self.unregisterProducer()  # else the request would never be freed
        self.writable.set()
        super().finish()

    def cut_short(self) -> None:
        """The application has ended. Cut off an answer that it left unfinished, so that nobody takes it for whole."""
        if self._response_started and not (self.finished or self._answered) and self.channel is not None:
            self.channel.transport.abortConnection()

    @property
    def unsent(self) -> tuple[bool, Any]:
        """Whether data wait for the reader, and a value that changes when it takes some."""
        waiting = unsent_bytes(self.channel.transport)
        return bool(waiting) or not self.writable.is_set(), (waiting, self.sentLength)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """daphne's own answer to a request that it cannot pass on."""
        path = self.path.decode("latin-1") if isinstance(self.path, bytes) else ""
        kind, text = "text/plain; charset=utf-8", f"{body}.\n".encode()
        if is_api(path):
            kind, text = problems.CONTENT_TYPE, problems.body(status, f"{body}.")
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(text)).encode())]
        headers += missing(path, {b"content-type"})
        if not self._body_is_whole:
            headers.append((b"connection", b"close"))
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": text})


http_protocol.WebRequest = PacedRequest  # the one place where daphne's factory looks it up


class Factory(http_protocol.HTTPFactory):
    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.timeOut = None  # the connections' own clock does it
        self.connections = Connections(self.reactor.callLater)

    def protocol(self) -> Channel:
        return Channel(self.connections)

    def log(self, request: Any) -> None:
        """Nothing: daphne has its own log, and Twisted would format a line for one that nobody opened."""


daphne.server.HTTPFactory = Factory
ws_protocol.WebSocketFactory.protocol = PacedWebSocket


class Server(daphne.server.Server):
    """`failure` is a sentence where the server could not listen."""

    failure = ""
    ports: list[Any]  # on which it listens

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        sizes = {
            "request_buffer_size": 64 << 10,
            "websocket_max_message_size": MOST_MESSAGE,
            "websocket_max_frame_size": MOST_MESSAGE,
        }
        super().__init__(*args, **sizes | kwargs)
        self.ports = []

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if CAN_SEND_FILES and scope["type"] == "http" and not protocol.isSecure():
            scope["extensions"] = {SENDFILE: {}}
        if not isinstance(protocol, PacedRequest):
            return super().create_application(protocol, scope)
        scope |= {"asgi": ASGI, "fl.connection": protocol.channel}
        inlet = protocol.inlet
        if inlet is not None:
            scope["fl.whole"] = inlet.take_whole
            if protocol.channel.expects:
                inlet.on_demand = protocol.channel.send_continue
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue() if inlet is None else inlet
        running = asyncio.ensure_future(self._answer(protocol, scope, queue.get))
        self.connections[protocol]["application_instance"] = running
        return queue

    async def _answer(self, protocol: PacedRequest, scope: Scope, receive: Receive) -> None:
        try:
            await self.application(scope, receive, partial(self.handle_reply, protocol))
        finally:
            protocol.cut_short()

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        if message["type"] == SENDFILE:
            if not protocol.finished:
                await protocol.send_file(message["file"], message["offset"], message["count"])
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await super().handle_reply(protocol, message)
        if message.get("more_body") or message["type"] == "websocket.send":
            await protocol.writable.wait()

    def listen_success(self, port: Any) -> None:
        self.ports.append(port)
        super().listen_success(port)

    def kill_all_applications(self) -> Deferred[None]:
        """Twisted waits for it before the process ends."""
        return Deferred.fromFuture(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        """Listen no more, answer held polls, close websockets, and wait a while for the other requests."""
        for port in self.ports:
            port.stopListening()
        draining.begin()
        for protocol in self.connections:
            if isinstance(protocol, PacedWebSocket):
                protocol.end(RESTARTS, "The server ends or restarts.")
        until = time.monotonic() + DRAIN_SECONDS
        await asyncio.sleep(0)  # so that held polls are answered
        while (self._under_way(PacedRequest) or self._unsent()) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        left = self._under_way(object)
        for running in left:
            running.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _unsent(self) -> bool:
        """Whether some of an answer still waits for its reader."""
        return any(unsent_bytes(channel.transport) for channel in self.http_factory.connections)

    def _under_way(self, kind: type) -> list[asyncio.Future[Any]]:
        applications = [
            details.get("application_instance")
            for protocol, details in self.connections.items()
            if isinstance(protocol, kind)
        ]
        return [running for running in applications if running and not running.done()]

    def listen_error(self, failure: Any) -> None:
        error = failure.value
        reason = error.socketError.strerror if isinstance(error, CannotListenError) else failure.getErrorMessage()
        where = f"{error.interface}:{error.port}" if isinstance(error, CannotListenError) else "the address"
        self.failure = f"The server cannot listen on {where}: {reason}. Choose another port."
        self.stop()
