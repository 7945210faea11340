"""What a long history costs: CPU of each page and job, and the steps of SQLite's machine for its queries.

    .venv/bin/python benchmarks/history.py [--sessions 200] [--rounds 100] [--clients 20]

The history is of sessions that ended, one a day, in each of whose rounds every client reported. Each page is asked
for twice, and the second time counts: the first one fills caches.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

EACH = 100  # steps between two ticks
PAGES = {
    "overview": "",
    "find": "?q=site-001",
    "sessions": "",
    "session_new": "",
    "session_who": "",
    "clients": "",
    "models": "",
    "activity": "",
    "alerts": "",
    "compare": "",
}
OF_A_SESSION = ("session", "session_history", "session_timeline", "session_events")
OF_A_CLIENT = ("client", "client_parts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--clients", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fl-history-") as folder:
        _set_up(folder)
        _measure(options.sessions, options.rounds, options.clients)


def _set_up(folder: str) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):  # whatever else is set up here is left alone
        os.environ.pop(name, None)
    os.environ |= {"FL_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "flsite.settings"}
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)


def _measure(sessions: int, rounds: int, number: int) -> None:
    from django.contrib.auth.models import User
    from django.test import Client as Browser
    from django.urls import reverse
    from django.utils import timezone

    from benchmarks import machine
    from federation import tasks
    from federation.models import Client, Participation
    from federation.services import retention
    from tests import history
    from tests.dashboard.cast import created, enrolled

    alice = User.objects.create_superuser("alice")
    clients = enrolled(*(f"site-{n:03}" for n in range(number)))
    Client.objects.update(last_seen=timezone.now())
    session = created(alice)
    history.write(session, clients, rounds=rounds, sessions=sessions, now=timezone.now())
    print(machine.describe())
    print(f"{sessions} sessions x {rounds} rounds x {number} clients: {Participation.objects.count():,} seats\n")
    print("| page or job | CPU, ms | steps of SQLite |\n|---|---|---|")
    browser = Browser()
    browser.force_login(alice)
    addresses = {name: reverse(name) + query for name, query in PAGES.items()}
    addresses |= {name: reverse(name, args=[session.pk]) for name in OF_A_SESSION}
    addresses |= {name: reverse(name, args=[clients[0].pk]) for name in OF_A_CLIENT}
    for name, address in addresses.items():
        _row(name, lambda address=address: browser.get(address))  # type: ignore[misc]
    _row("prune, one hour's part", lambda: retention.prune(now=timezone.now(), part=0))
    for task in (tasks.expire, tasks.watch, tasks.advance_all):
        _row(task.name.rpartition(".")[2], task)


def _row(name: str, do: Callable[[], object]) -> None:
    from django.db import connection

    ticks = [0]

    def tick() -> int:
        ticks[0] += 1
        return 0

    do()
    began = time.process_time()
    do()
    spent = time.process_time() - began
    connection.ensure_connection()
    connection.connection.set_progress_handler(tick, EACH)
    do()
    connection.connection.set_progress_handler(None, 0)
    print(f"| {name} | {1000 * spent:.0f} | {ticks[0] * EACH:,} |", flush=True)


if __name__ == "__main__":
    main()
