"""A server that speaks the agents' side of the HTTP contract, and misbehaves on demand."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from federation.fl import encodings, weights, workloads
from federation.fl.files import updates
from federation.fl.version import __version__

CODE = "FJ7K-2MQX-9RTD"
CONFIG = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1, "seed": 7}

Action = Callable[["Handler"], None]


@dataclass
class Seat:
    """A participation: what was sent to it."""

    work: dict[str, Any]
    client: str = ""  # whose it is; empty: of whoever asks
    status: str = "open"
    reason: str = ""
    goes_on: bool = True
    calls: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    upload: bytearray = field(default_factory=bytearray)
    length: int | None = None
    update: bytes = b""
    result: dict[str, Any] | None = None

    @property
    def points(self) -> list[dict[str, Any]]:
        return [point for call in self.calls for point in call["metrics"]]

    def values(self, name: str) -> dict[int, float | None]:
        return {point["step"]: point["value"] for point in self.points if point["name"] == name}


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    num_bytes: int


class FakeServer:
    """Use as a context manager. `away` and `back` stop and start it on the same port."""

    def __init__(self) -> None:
        self.version = __version__
        self.marks_all = False  # puts its version on every answer, as servers of 0.2.0 do
        self.tokens: dict[str, str] = {}  # token -> name
        self.infos: list[dict[str, Any]] = []
        self.changed: list[dict[str, Any]] = []  # what it finds other than before in the infos that come
        self.disabled = False
        self.disabled_names: set[str] = set()
        self.left = 0
        self.models: dict[str, bytes] = {}
        self.seats: dict[str, Seat] = {}
        self.seen: list[Seen] = []
        self.part_bytes = 1 << 20
        self.max_put_bytes = 1 << 20
        self.knows_range = True
        self._actions: list[tuple[str, re.Pattern[str], Action]] = []
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._polls_end = False
        self.port = 0

    def __enter__(self) -> FakeServer:
        self.back()
        return self

    def __exit__(self, *_: object) -> None:
        self.away()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def back(self) -> None:
        self._server = Server(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def secure(self, certificate: Path) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        assert self._server
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def away(self) -> None:
        """Nobody listens, and every connection is cut, as when the process is killed."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()
        for connection in list(server.connections):
            server.cut(connection)
        with self._changed:
            self._changed.notify_all()

    @property
    def is_away(self) -> bool:
        return self._server is None

    def offer(
        self, name: str = "synthetic", options: dict[str, Any] | None = None, *, client: str = "", **changes: Any
    ) -> Seat:
        """Open a round: a new seat whose work waits for whoever asks. Changes are to the members of the work."""
        options = {"num_parameters": 1000} if options is None and name == "synthetic" else options or {}
        known = workloads.get(name)
        workload = {"name": name, "version": known.version, "digest": known.digest(), "options": options}
        return self._offer(workload, known.initial_weights(options, 1), changes, client)

    def offer_to_script(self, source: str, model: weights.Weights, *, name: str = "toy", **changes: Any) -> Seat:
        """The same for a script. source: its digest. An option of the work is among the changes, as `options`."""
        options = changes.pop("options", {})
        return self._offer({"name": name, "version": "", "digest": source, "options": options}, model, changes)

    def _offer(
        self, workload: dict[str, Any], initial: weights.Weights, changes: dict[str, Any], client: str = ""
    ) -> Seat:
        model = weights.dump(initial)
        digest = sha256(model).hexdigest()
        number = len(self.seats) + 1
        work = {
            "participation": f"{number}",
            "kind": "train",
            "session": {"id": "1", "name": "first"},
            "round": number,
            "attempt": 1,
            "workload": workload,
            "config": dict(CONFIG),
            "base_model": {
                "version": 0,
                "digest": digest,
                "num_bytes": len(model),
                "url": f"/api/v1/models/{digest}",
            },
            "buffers": [],
            "deadline": "2036-01-01T00:00:00Z",
            "from_the_future": True,
        }
        work |= self._of_kind(f"{number}", changes.get("kind")) | changes
        with self._changed:
            self.models[digest] = model
            self.seats[f"{number}"] = Seat(work, client)
            self._changed.notify_all()
        return self.seats[f"{number}"]

    def _of_kind(self, seat: str, kind: object) -> dict[str, Any]:
        """What work of a kind has beside the members that all kinds have."""
        sent = {
            "update_url": f"/api/v1/participations/{seat}/update",
            "part_bytes": self.part_bytes,
            "max_put_bytes": self.max_put_bytes,
            "encoding": "float32",
            "extra_tensors": [],
        }
        match kind:
            case "evaluate":
                return {"last_update": None}
            case "initialise":
                return sent | {"round": 0, "base_model": None}
        return sent | {"last_update": None}

    def script(self, method: str, path: str, *actions: Action) -> None:
        """Answer the next requests that fit with these actions, one each."""
        self._actions += [(method, re.compile(path), action) for action in actions]

    def scripted(self, method: str, path: str) -> Action | None:
        for index, (wanted, pattern, action) in enumerate(self._actions):
            if wanted == method and pattern.search(path):
                del self._actions[index]
                return action
        return None

    @property
    def all_played(self) -> bool:
        return not self._actions

    def open_seat(self, wait: float, client: str = "") -> Seat | None:
        end = time.monotonic() + wait
        with self._changed:
            while True:
                for seat in self.seats.values():
                    if seat.status == "open" and seat.client in ("", client):
                        return seat
                left = end - time.monotonic()
                if left <= 0 or self.is_away or self._polls_end:
                    return None
                self._changed.wait(left)

    def end_polls(self) -> None:
        """Answer every long poll at once, so that an agent sees that it should leave."""
        with self._changed:
            self._polls_end = True
            self._changed.notify_all()

    def enrolled(self, name: str = "site-a", token: str = "ab" * 32) -> str:
        """Let a client in without a call. Returns its token."""
        self.tokens[token] = name
        return token

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and re.search(path, seen.path)]

    def wait_until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; seen: {self.seen[-10:]}")
            time.sleep(0.01)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], fake: FakeServer) -> None:
        self.fake = fake
        self.connections: set[socket.socket] = set()
        super().__init__(address, Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def cut(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # cut connections are what this is for


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: Server
    is_a_strangers = False  # what is answered now comes from somebody on the way
    extra: dict[str, str] = {}  # headers of every answer to this call

    @property
    def fake(self) -> FakeServer:
        return self.server.fake

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        url, self.extra = urlsplit(self.path), {}
        action = self.fake.scripted(self.command, url.path)
        if action is early:
            self.problem(413, "The body is too large for this proxy.")
            self.close_connection = True
            return
        self.body = self.read_body()
        names = {name.lower(): value for name, value in self.headers.items()}
        self.fake.seen.append(Seen(self.command, self.path, names, len(self.body)))
        if action is not None:
            action(self)
        else:
            self.route(url.path, parse_qs(url.query))

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = handle_any

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        if self.fake.marks_all and not self.is_a_strangers:
            headers["FL_Server_Version"] = self.fake.version
        headers = self.extra | headers
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, status: int, value: object, **headers: str) -> None:
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def problem(self, status: int, detail: str, **headers: str) -> None:
        body: dict[str, Any] = {"type": "about:blank", "title": "No", "status": status, "detail": detail}
        if status == 422:
            body["errors"] = [{"field": "body", "detail": detail}]
        if status == 401:
            headers["WWW_Authenticate"] = "Bearer"
        self.answer(status, json.dumps(body).encode(), Content_Type="application/problem+json", **headers)

    def route(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/api/v1/enroll":
            return self.enroll()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.fake.tokens:
            return self.problem(401, "This token is not known here.")
        if self.fake.disabled or self.fake.tokens[token] in self.fake.disabled_names:
            return self.problem(403, "This client is disabled.")
        if path == "/api/v1/work":
            return self.work(float(query["wait"][0]))
        if path == "/api/v1/clients/me/info":
            self.fake.infos.append(json.loads(self.body)["info"])
            return self.json(200, {"changed": self.fake.changed})
        if path == "/api/v1/clients/me/log":
            return self.json(200, {})
        if path == "/api/v1/clients/me/leave":
            self.fake.left += 1
            return self.json(200, {})
        if path.startswith("/api/v1/models/"):
            return self.model(path.rpartition("/")[2])
        match = re.fullmatch(r"/api/v1/participations/(\w+)/(progress|fail|update|result)", path)
        seat = self.fake.seats.get(match[1]) if match else None
        if match is None or seat is None:
            return self.problem(404, "There is nothing here.")
        getattr(self, match[2])(seat)

    def enroll(self) -> None:
        asked = json.loads(self.body)
        if asked["join_code"] != CODE:
            return self.problem(403, "This join code is not known here.")
        if self.fake.tokens.get(asked["token"]) != asked["name"]:
            if asked["name"] in self.fake.tokens.values():
                return self.problem(409, f"The name {asked['name']} is taken.")
            self.fake.tokens[asked["token"]] = asked["name"]
            self.fake.infos.append(asked["info"])
        answer = {"client_id": "1", "name": asked["name"], "token": asked["token"]}
        self.json(201, answer, FL_Server_Version=self.fake.version)

    def work(self, wait: float) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        seat = self.fake.open_seat(wait, self.fake.tokens[token])
        if seat is None:
            return self.answer(204, FL_Server_Version=self.fake.version)
        self.json(200, seat.work, FL_Server_Version=self.fake.version)

    def model(self, digest: str) -> None:
        whole = self.fake.models.get(digest)
        if whole is None:
            return self.problem(404, "There is no such model for you.")
        self.extra = {"ETag": f'"{digest}"', "Accept_Ranges": "bytes"}
        binary = {"Content_Type": "application/octet-stream"}
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not match or not self.fake.knows_range:
            return self.answer(200, whole, **binary)
        start, end = int(match[1]), int(match[2])
        if start >= len(whole):
            return self.problem(416, "There is no such range.", Content_Range=f"bytes */{len(whole)}")
        where = f"bytes {start}-{min(end + 1, len(whole)) - 1}/{len(whole)}"
        self.answer(206, whole[start : end + 1], Content_Range=where, **binary)

    def progress(self, seat: Seat) -> None:
        seat.calls.append(json.loads(self.body))
        seat.times.append(time.monotonic())
        self.json(200, {"continue": seat.goes_on and seat.status == "open"})

    def fail(self, seat: Seat) -> None:
        seat.status, seat.reason = "failed", json.loads(self.body)["reason"]
        self.json(200, {})

    def result(self, seat: Seat) -> None:
        sent = json.loads(self.body)
        if seat.work["kind"] != "evaluate":
            return self.problem(409, "This work is not an evaluation.")
        if seat.status == "dropped":
            return self.problem(410, "The evaluation went on without this seat.")
        if seat.result not in (None, sent):
            return self.problem(409, "Another result was accepted from this seat.")
        if not isinstance(sent.get("num_examples"), int) or sent["num_examples"] < 1:
            return self.problem(422, "num_examples is not an integer from 1 to 1,000,000,000,000.")
        seat.result, seat.status = sent, "reported"
        self.answer(204, FL_Server_Version=self.fake.version, Content_Type="application/json")

    def update(self, seat: Seat) -> None:
        self.extra = {"Tus_Resumable": "1.0.0"}
        if seat.status == "dropped":
            return self.problem(410, "The round went on without this seat.")
        getattr(self, f"update_{self.command.lower()}")(seat)

    def update_put(self, seat: Seat) -> None:
        if len(self.body) > self.fake.max_put_bytes:
            return self.problem(413, "Send the update by tus.")
        expected = f"sha-256=:{base64.b64encode(sha256(self.body).digest()).decode()}:"
        if self.headers["Content-Digest"] != expected:
            return self.problem(422, "The body does not fit its Content-Digest.")
        self.accept(seat, self.body)

    def update_post(self, seat: Seat) -> None:
        seat.upload, seat.length = bytearray(), int(self.headers["Upload-Length"])
        self.answer(201, Location=self.path, Upload_Offset="0")

    def update_head(self, seat: Seat) -> None:
        offset = len(seat.update or seat.upload)
        length = len(seat.update) or seat.length
        told = {"Upload_Defer_Length": "1"} if length is None else {"Upload_Length": str(length)}
        self.answer(200, Upload_Offset=str(offset), **told)

    def update_patch(self, seat: Seat) -> None:
        offset = len(seat.update or seat.upload)
        if int(self.headers["Upload-Offset"]) != offset:
            return self.problem(409, f"The upload stands at {offset}.", Upload_Offset=str(offset))
        seat.upload += self.body
        seat.length = int(self.headers["Upload-Length"])
        if len(seat.upload) < seat.length:
            return self.answer(204, Upload_Offset=str(len(seat.upload)))
        if self.headers["Repr-Digest"] != f"sha-256=:{base64.b64encode(sha256(seat.upload).digest()).decode()}:":
            seat.upload, seat.length = bytearray(), None
            return self.problem(460, "The update does not fit its digest.")
        self.accept(seat, bytes(seat.upload), Upload_Offset=str(len(seat.upload)))

    def accept(self, seat: Seat, update: bytes, **headers: str) -> None:
        if seat.update and seat.update != update:
            return self.problem(409, "Another update was accepted from this seat.")
        problem = self.wrong_with(seat, update)
        if problem:
            seat.upload = bytearray()
            return self.problem(422, problem)
        seat.update, seat.status = update, "reported"
        self.answer(204, **headers)

    def wrong_with(self, seat: Seat, update: bytes) -> str:
        with tempfile.TemporaryDirectory() as folder:
            base, sent = Path(folder, "base"), Path(folder, "sent")
            sent.write_bytes(update)
            try:
                if seat.work["base_model"] is None:
                    weights.load(sent)
                    return ""
                digest = seat.work["base_model"]["digest"]
                base.write_bytes(self.fake.models[digest])
                updates.check(sent, base=weights.read_header(base), base_digest=digest, encoding=_encoding(seat))
            except (updates.UpdateError, weights.WeightsError) as error:
                return str(error)
        return ""


def _encoding(seat: Seat) -> encodings.Encoding:
    """What a seat's work asks for; a name that no server has is as good as none."""
    known = seat.work["encoding"] in encodings.ENCODINGS
    return encodings.build(seat.work["encoding"], seat.work["encoding_options"]) if known else encodings.NONE


# ---- actions for `script`


def early(handler: Handler) -> None:
    """Refuse with 413 before the body is read, as proxies do."""
    raise AssertionError("handled before the body is read")


def cut(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def status(code: int, detail: str = "Not now, says the server.", **headers: str) -> Action:
    return lambda handler: handler.problem(code, detail, **headers)


def plainly(handler: Handler) -> None:
    """As if nothing were scripted."""
    url = urlsplit(handler.path)
    handler.route(url.path, parse_qs(url.query))


def timed(times: list[float]) -> Action:
    """As if nothing were scripted, but note when."""

    def action(handler: Handler) -> None:
        times.append(time.monotonic())
        plainly(handler)

    return action


def _answer(handler: Handler) -> bytes:
    """Do what was asked, and return the answer instead of sending it."""
    handler.wfile, wire = io.BytesIO(), handler.wfile  # type: ignore[assignment]
    plainly(handler)
    handler.wfile, buffer = wire, handler.wfile
    return buffer.getvalue()  # type: ignore[attr-defined]


def lost(handler: Handler) -> None:
    """Do what was asked, and lose the answer."""
    _answer(handler)
    cut(handler)


def half(handler: Handler) -> None:
    """Answer, but cut the body in the middle."""
    head, _, body = _answer(handler).partition(b"\r\n\r\n")
    handler.wfile.write(head + b"\r\n\r\n" + body[: len(body) // 2])
    handler.wfile.flush()
    cut(handler)


def stranger(code: int, body: bytes = b"", **headers: str) -> Action:
    """Of somebody on the way: what is asked does not reach the server."""

    def action(handler: Handler) -> None:
        handler.is_a_strangers = True
        handler.answer(code, body, **headers)
        handler.is_a_strangers = False

    return action


def html(code: int, **headers: str) -> Action:
    """What a login page or another web server answers."""
    return stranger(code, b"<html>Please log in</html>", Content_Type="text/html", **headers)
