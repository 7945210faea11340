"""Invitations as pages show them, and the command that a site runs to join."""

from __future__ import annotations

import shlex
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from federation.models import Invitation


def open_now(now: datetime) -> QuerySet[Invitation]:
    """Those that still let somebody in, the newest first."""
    lasts = Q(expires_at=None) | Q(expires_at__gt=now)
    return Invitation.objects.filter(lasts, revoked_at=None, used__lt=F("uses")).select_related("created_by", "client")


def command(request: HttpRequest, code: str, name: str) -> dict[str, str]:
    """How one client of this name joins."""
    text = f"""pip install -r clientagent/requirements.txt
python clientagent/run.py \\
  --server {_server(request)} \\
  --join {code} \\
  --name {shlex.quote(name)}"""
    return {"key": "one", "title": "One client", "text": text}


def _server(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")


def commands(request: HttpRequest, code: str) -> list[dict[str, str]]:
    """What to run beside the data. The server's address is the one that the browser used."""
    server = _server(request)
    several = f"""pip install -r clientagent/requirements.txt
for n in 1 2 3 4; do
  python clientagent/run.py \\
    --server {server} \\
    --join {code} \\
    --name laptop-$n \\
    --partition dirichlet:0.5 --shard $n/4 &
done; wait"""
    return [
        command(request, code, "my-site"),
        {"key": "several", "title": "Several on one machine", "text": several},
    ]
