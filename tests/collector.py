"""A collector of OpenTelemetry on loopback: it takes traces as OTLP over HTTP, and keeps them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Kept = list[tuple[dict[str, str], Any]]  # what its resource is, and a span as it came


@contextmanager
def collecting() -> Iterator[tuple[str, Kept]]:
    """Its address, and what has come so far."""
    kept: Kept = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            kept.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", kept
    finally:
        server.shutdown()
        server.server_close()


def _spans(request: Any) -> Iterator[tuple[dict[str, str], Any]]:
    for part in request.resource_spans:
        resource = {one.key: one.value.string_value for one in part.resource.attributes}
        for scope in part.scope_spans:
            for span in scope.spans:
                yield resource, span
