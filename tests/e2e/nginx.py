"""Debian's nginx in front of a server, with the blocks that docs/operating.md gives."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping

import requests

from flsite import processes
from tests.e2e.stack import ROOT, Stack, free_port, until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
OWN_USER = "www-data"  # and its group, as Debian has it
MAIN = """
{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-errors.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {server}
}}
"""


@contextlib.contextmanager
def before(stack: Stack, *, stall_seconds: int = 60, other: int | None = None) -> Iterator[str]:
    """nginx passes on to the server, or to two: other is the port of the second one. Gives its address."""
    folder, port = stack.folder / "nginx", free_port()
    folder.mkdir()
    user = f"user {_user(stack)};" if os.geteuid() == 0 else ""
    server = documented_block(stack, port, stall_seconds)
    if other is not None:
        server = both(server, stack, other)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user, server=server))
    assert NGINX is not None
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-errors.log")]
    process: subprocess.Popen[bytes] = processes.start(command, log=folder / "nginx.log", cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: requests.get(f"{url}/healthz", timeout=5).ok, why=f"nginx; its logs are in {folder}")
        yield url
    finally:
        processes.stop([process], signal.SIGTERM, patience=5)


def _user(stack: Stack) -> str:
    """The web server's own where the stack lets its group read, else one that can read every folder of a test."""
    return OWN_USER if stack.env.get("FL_DATA_GROUP") == OWN_USER else "root"


def documented_block(stack: Stack, port: int, stall_seconds: int) -> str:
    """The documentation's block for this test's addresses, paths and time-out, without TLS."""
    change = {
        r"listen 443 ssl": f"listen 127.0.0.1:{port}",
        r"ssl_certificate\w* [^;]*;": "",
        r"127\.0\.0\.1:8000": f"127.0.0.1:{stack.port}",
        r"/srv/fl/": f"{stack.folder}/",
        r"client_body_timeout 60s": f"client_body_timeout {stall_seconds}s",
    }
    return _changed(_documented(0), change)


def both(block: str, stack: Stack, other: int) -> str:
    """The block in front of two servers, as the documentation says."""
    ports = {"127.0.0.1:8000": f"127.0.0.1:{stack.port}", "127.0.0.1:8001": f"127.0.0.1:{other}"}
    first, _, rest = block.partition("server {")
    passes = {rf"proxy_pass http://127\.0\.0\.1:{stack.port};": "proxy_pass http://fl;"}
    return _changed(_documented(1), ports) + first + "server {" + _changed(rest, passes)


def _documented(number: int) -> str:
    """One of the documentation's blocks for nginx."""
    text = (ROOT / "docs/operating.md").read_text()
    return text.split("```nginx\n")[1 + number].partition("```")[0]


def _changed(block: str, change: Mapping[str, str]) -> str:
    for pattern, value in change.items():
        block, count = re.subn(pattern, value, block)
        assert count, f"docs/operating.md has no {pattern} in its block for nginx"
    return block
