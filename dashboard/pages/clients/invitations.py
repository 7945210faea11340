"""Invitations as pages show them, and the command that a site runs to join."""

from __future__ import annotations

import shlex
from datetime import datetime
from urllib.parse import urlsplit

from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from federation import addresses
from federation.models import Invitation


def open_now(now: datetime) -> QuerySet[Invitation]:
    """Those that still let somebody in, the newest first."""
    lasts = Q(expires_at=None) | Q(expires_at__gt=now)
    return Invitation.objects.filter(lasts, revoked_at=None, used__lt=F("uses")).select_related("created_by", "client")


def command(request: HttpRequest, code: str, name: str) -> dict[str, str]:
    """How one client of this name joins."""
    text = f"""python3 -m venv .venv && .venv/bin/pip install -r clientagent/requirements.txt
.venv/bin/python clientagent/run.py \\
  --server {_server(request)} \\
{_insecure(request, "  ")}--join {code} \\
  --name {shlex.quote(name)}"""
    return {"key": "one", "title": "pip", "text": text}


def is_insecure(request: HttpRequest) -> bool:
    """Whether an agent needs --insecure for this address, because others on the way could read what it sends."""
    url = urlsplit(_server(request))
    return url.scheme == "http" and not addresses.is_loopback(url.hostname or "")


def _insecure(request: HttpRequest, indent: str) -> str:
    """The flag on a line of its own, if it is needed."""
    return f"{indent}--insecure \\\n{indent}" if is_insecure(request) else indent


def _server(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")


def commands(request: HttpRequest, code: str) -> list[dict[str, str]]:
    """What to run beside the data. The server's address is the one that the browser used."""
    server = _server(request)
    same = "--network host " if addresses.is_loopback(urlsplit(server).hostname or "") else ""
    docker = f"""docker run -it --name my-site {same}\\
  -v "$PWD":/src:ro -v "$PWD/data":/data:ro -v my-site:/state -w /src python:3.12-slim \\
  sh -c "pip install -r clientagent/requirements.txt && \\
    python clientagent/run.py --server {server} \\
{_insecure(request, "      ")}--join {code} --name my-site --state /state --data /data\""""
    several = f"""python3 -m venv .venv && .venv/bin/pip install -r clientagent/requirements.txt
(trap "kill 0" INT; for n in 1 2 3 4; do
  .venv/bin/python clientagent/run.py \\
    --server {server} \\
{_insecure(request, "    ")}--join {code} \\
    --name laptop-$n \\
    --partition dirichlet:0.5 --shard $n/4 &
done; wait)"""
    return [
        command(request, code, "my-site"),
        {"key": "docker", "title": "Docker", "text": docker},
        {"key": "several", "title": "Several on one machine", "text": several},
    ]
