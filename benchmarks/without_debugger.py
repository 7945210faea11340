"""The long tasks of a page in a Chromium that no program controls, as people have it.

A browser that a program controls has its debugger attached. Then V8 notes for every exception, also for those that a
script catches itself, where each function on the stack stands in its file, and reads a file of megabytes again for it:
the first evaluation of Plotly takes five times as long.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.stack import until

LONG_MS = 50
RENDERER = "CrRendererMain"


def long_tasks(chrome: str, url: str, cookies: Mapping[str, str], *, seconds: int) -> list[float]:
    """Open a page in a new browser. The tasks of more than 50 ms of its main thread in so many seconds, in ms."""
    with tempfile.TemporaryDirectory() as folder, _way_in(url, cookies) as address:
        trace = Path(folder, "trace.json")
        tracing = ["--trace-startup=toplevel", f"--trace-startup-file={trace}", "--trace-startup-format=json"]
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}/user"]
        command = [chrome, *flags, *tracing, f"--trace-startup-duration={seconds}", address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            events = until(lambda: _read(trace), seconds=seconds + 60, every=0.5, why="the browser's trace")
        finally:
            process.terminate()
            process.wait()
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    tasks = [e for e in events if e["name"] == "ThreadControllerImpl::RunTask" and e.get("ph") == "X"]
    of_pages = [e["dur"] / 1000 for e in tasks if threads.get((e["pid"], e["tid"])) == RENDERER]
    return [ms for ms in of_pages if ms > LONG_MS]


@contextmanager
def _way_in(url: str, cookies: Mapping[str, str]) -> Iterator[str]:
    """An address on the same host that signs a browser in and sends it on: cookies do not tell ports apart."""

    class WayIn(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            for name, value in cookies.items():
                self.send_header("Set-Cookie", f"{name}={value}; Path=/; HttpOnly")
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), WayIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def _read(trace: Path) -> list[dict[str, Any]] | None:
    """The events of a trace; None while the file is not whole."""
    try:
        found = json.loads(trace.read_text())
    except (FileNotFoundError, ValueError):
        return None
    events: list[dict[str, Any]] = found["traceEvents"] if isinstance(found, dict) else found
    return events
