"""An HTTP proxy before the server that answers calls itself, as sign-in pages and firewalls do."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!doctype html><title>Please sign in</title>"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
NAMED = re.compile(r"/(enroll|work|models|progress|update|fail|info|log|leave)\b")


class Proxy:
    """Passes calls on to a port, but for those that it answers itself.

    status: what it answers with an html page; None: nothing. times: so often, of each kind of call.
    only: of these kinds alone. cut_after: seconds after which it ends a call that still waits for its answer.
    upgrades: whether it lets websockets through; else it answers them with 400.
    """

    def __init__(self, port: int) -> None:
        self.to = port
        self.status: int | None = None
        self.times = 0
        self.only: set[str] = set()
        self.cut_after: float | None = None
        self.upgrades = True
        self.answered: Counter[str] = Counter()  # by itself, by kind of call
        self.passed: list[str] = []  # the method and path of what it passed on
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def takes(self, method: str, path: str) -> bool:
        """Whether it answers this call itself."""
        found = NAMED.search(path)
        kind = f"{method} {found[1] if found else path}"
        with self._lock:
            mine = self.status is not None and (not self.only or kind in self.only)
            if mine and self.answered[kind] < self.times:
                self.answered[kind] += 1
                return True
            self.passed.append(f"{method} {path}")
            return False

    @property
    def waits(self) -> list[float]:
        """What the calls for work that were passed on asked to wait."""
        return [float(each.partition("wait=")[2]) for each in self.passed if "/work?" in each]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, Handler)

    def handle_error(self, *_: object) -> None:
        pass  # callers that hang up


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if proxy.takes(self.command, self.path):
            assert proxy.status is not None
            self._refuse(proxy.status)
            return
        if "Upgrade" in self.headers:
            self._upgrade()
            return
        upstream = HTTPConnection("127.0.0.1", proxy.to, timeout=proxy.cut_after or 60)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            self._answer(answer.status, kept, answer.read())
        except (OSError, HTTPException):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        finally:
            upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = handle_any

    def _upgrade(self) -> None:
        """Carry bytes both ways from here on, or refuse to."""
        if not self.server.proxy.upgrades:
            self.server.proxy.answered["upgrade"] += 1
            self._refuse(400)
            return
        self.close_connection = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server.proxy.to)) as far:
            head = [self.requestline, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
            far.sendall("\r\n".join(head).encode())
            back = threading.Thread(target=_carry, args=(far, self.connection), daemon=True)
            back.start()
            _carry(self.connection, far)
            back.join()

    def _refuse(self, status: int) -> None:
        self._answer(status, [("Content-Type", "text/html"), ("Via", "1.1 gateway")], PAGE)

    def _answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
