"""Invitations as pages show them, and the commands by which a site joins."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from dashboard.pages.clients import meant
from dashboard.pages.clients.meant import FOLDER, NAME, OPEN, Meant
from federation import addresses
from federation.models import Invitation

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -r clientagent/requirements.txt"
MOST_MANY = 100  # clients of one process that are proposed


def open_now(now: datetime) -> QuerySet[Invitation]:
    """Those that still let somebody in, the newest first."""
    lasts = Q(expires_at=None) | Q(expires_at__gt=now)
    return Invitation.objects.filter(lasts, revoked_at=None, used__lt=F("uses")).select_related("created_by", "client")


def command(request: HttpRequest, code: str, name: str, what: Meant = OPEN) -> dict[str, str]:
    """How one client of this name joins."""
    text = _agent(request, code, shlex.quote(name), what.flags, install=what.install)
    return {"key": "one", "title": "One client", "text": text, "hint": _hint(what)}


def is_insecure(request: HttpRequest) -> bool:
    """Whether an agent needs --insecure for this address, because others on the way could read what it sends."""
    url = urlsplit(_server(request))
    return url.scheme == "http" and not addresses.is_loopback(url.hostname or "")


def commands(request: HttpRequest, code: str, what: Meant = OPEN, uses: int = 1) -> list[dict[str, str]]:
    """What to run beside the data, in several ways. The server's address is the one that the browser used.

    what: the workload that is meant. uses: how many clients may join by the code.
    """
    ways = [command(request, code, "my-site", what)]
    if what == OPEN:
        ways.append(_of_file(request, code))
    if what == OPEN or what.by_sites:
        ways.append(_of_script(request, code))
    if uses > 1:
        ways.append(_many(request, code, what, min(uses, MOST_MANY)))
    return [*ways, _docker(request, code, what), _several(request, code, what)]


# ---- each way


def _hint(what: Meant) -> str:
    if what.file:
        return (
            f"Put {what.file} of this server's FL_WORKLOADS into the folder {FOLDER} first: the same file, unchanged."
        )
    if what.by_sites:
        return f"Put its file into the folder {FOLDER} first, the same one that the other sites have."
    return "" if what.name else "It trains every built-in workload."


def _of_file(request: HttpRequest, code: str) -> dict[str, str]:
    text = _agent(request, code, "my-site", meant.of_file(NAME))
    hint = f"Put the workload's file into the folder {FOLDER} first. {NAME} is the name that it gives the workload."
    return {"key": "file", "title": "A file", "text": text, "hint": f"{hint} docs/workloads.md explains it."}


def _of_script(request: HttpRequest, code: str) -> dict[str, str]:
    text = _agent(request, code, "my-site", ["-- .venv/bin/python train.py"])
    hint = "train.py is your training script with five more lines, and whatever it needs is installed beside the agent."
    return {"key": "script", "title": "A script", "text": text, "hint": f"{hint} docs/scripts.md explains it."}


def _many(request: HttpRequest, code: str, what: Meant, count: int) -> dict[str, str]:
    text = _agent(request, code, "laptop", [f"--clients {count}", *what.flags], install=what.install)
    hint = "One process is all of them, and each has a part of the data. Each uses the code once."
    if not (what.file or what.by_sites or what.install):  # those that run.py knows by itself
        hint += " To see who gets what, first run the same with the word preview after run.py: it draws a picture."
    return {"key": "many", "title": "Many clients", "text": text, "hint": hint}


def _docker(request: HttpRequest, code: str, what: Meant) -> dict[str, str]:
    server = _server(request)
    same = "--network host " if addresses.is_loopback(urlsplit(server).hostname or "") else ""
    more = "".join(f"{flag} " for flag in what.flags)
    package = f"{what.install.removeprefix('.venv/bin/')} && \\\n    " if what.install else ""
    text = f"""docker run -it --name my-site {same}\\
  -v "$PWD":/src:ro -v "$PWD/data":/data:ro -v my-site:/state -w /src python:3.12-slim \\
  sh -c "pip install -r clientagent/requirements.txt && \\
    {package}python clientagent/run.py --server {server} \\
{_insecure(request, "      ")}--join {code} --name my-site {more}--state /state --data /data\""""
    return {"key": "docker", "title": "Docker", "text": text, "hint": _hint(what)}


def _several(request: HttpRequest, code: str, what: Meant) -> dict[str, str]:
    flags = ["--name laptop-$n", "--partition dirichlet:0.5 --shard $n/4", *what.flags]
    lines = _lines(request, code, flags, "    ")
    agents = (
        f'(trap "kill 0" INT; for n in 1 2 3 4; do\n  .venv/bin/python clientagent/run.py \\\n{lines} &\ndone; wait)'
    )
    text = "\n".join(filter(None, (INSTALL, what.install, agents)))
    return {"key": "several", "title": "Several", "text": text, "hint": _hint(what)}


# ---- what they consist of


def _agent(request: HttpRequest, code: str, name: str, more: Iterable[str] = (), *, install: str = "") -> str:
    """The commands that install an agent and start it. name, more: as a shell reads them."""
    agent = f".venv/bin/python clientagent/run.py \\\n{_lines(request, code, [f'--name {name}', *more], '  ')}"
    return "\n".join(filter(None, (INSTALL, install, agent)))


def _lines(request: HttpRequest, code: str, flags: Iterable[str], indent: str) -> str:
    """The flags of an agent, one a line."""
    return " \\\n".join(f"{indent}{flag}" for flag in _flags(request, code, flags))


def _flags(request: HttpRequest, code: str, more: Iterable[str]) -> Iterator[str]:
    yield f"--server {_server(request)}"
    if is_insecure(request):
        yield "--insecure"
    yield f"--join {code}"
    yield from more


def _insecure(request: HttpRequest, indent: str) -> str:
    """The flag on a line of its own, if it is needed."""
    return f"{indent}--insecure \\\n{indent}" if is_insecure(request) else indent


def _server(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")
