"""`manage.py demo`: a server, clients as processes of their own, and a session on real data, in one command."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console

from federation import session_settings
from federation.fl import workloads
from federation.lifecycle import ENDED, LIVE, SessionStatus
from federation.models import Client, TrainingSession
from federation.services import sessions
from federation.services.clients import invitations
from flsite import first_start, processes
from flsite.demo_display import Display

NAME = "demo"  # sessions of earlier demos begin with this word
START_SECONDS = 60  # a server that needs longer has failed
ENROL_SECONDS = 90


class Command(BaseCommand):
    help = "Start a server, clients and a session on real data, and show how it goes. Ctrl-C stops everything."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--clients", type=int, default=4, help="how many clients (4)")
        parser.add_argument("--rounds", type=int, default=10, help="rounds of the session (10)")
        parser.add_argument("--port", type=int, default=8000, help="port of the server (8000)")
        parser.add_argument("--exit", action="store_true", help="end with the session; status 0 only if it completed")

    def handle(self, *args: Any, **options: Any) -> None:
        _check(options["clients"], options["rounds"], options["port"])
        self.console = Console(highlight=False)
        self.port: int = options["port"]
        self.server: list[subprocess.Popen[bytes]] = []
        self.agents: list[subprocess.Popen[bytes]] = []
        completed = False
        try:
            with processes.ended_by_signals():
                self._bring_up(options["clients"])
                session = self._session(options["clients"], options["rounds"])
                completed = self._watch(session, then_end=options["exit"])
        except KeyboardInterrupt:
            self.console.print()
        finally:
            self._stop()
        if options["exit"] and not completed:
            sys.exit(1)

    # ---- start

    def _bring_up(self, clients: int) -> None:
        say = self.console.print
        first_start.prepare(say, any_database=True)
        user, password = _admin()
        say(f"\n  Control room   [bold]http://127.0.0.1:{self.port}/[/]")
        say(f"  Sign in as     [bold]{user}[/]   password [bold]{password}[/]\n")
        self._start_server()
        self._start_agents(clients)

    def _start_server(self) -> None:
        command = [sys.executable, "manage.py", "runserver", f"127.0.0.1:{self.port}", "--noreload"]
        log = settings.FL_DATA_DIR / "logs" / "server.log"
        self.server = [processes.start(command, log=log, cwd=settings.BASE_DIR)]
        end = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self.server[0].poll() is not None or time.monotonic() > end:
                raise CommandError(f"The server did not start. Its log says why: {log}")
            time.sleep(0.1)

    def _start_agents(self, clients: int) -> None:
        by_name = {f"{NAME}-{n}": n for n in range(1, clients + 1)}
        known = Client.objects.enrolled().filter(name__in=by_name).values_list("name", flat=True)
        states = settings.FL_DATA_DIR / "agents"
        new = [name for name in by_name if name not in known or not (states / name).exists()]
        code = ""
        if new:
            _, code = invitations.create(uses=len(new), expires_in_seconds=3600, by=None, now=timezone.now())
        for name, n in by_name.items():
            join = ["--join", code, "--name", name] if name in new else []
            self.agents.append(self._start_agent(states / name, f"{n}/{clients}", join))
        self._wait_for(list(by_name))

    def _start_agent(self, state: Path, shard: str, join: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "clientagent/run.py", "--server", f"http://127.0.0.1:{self.port}"]
        command += ["--state", str(state), *join]
        command += ["--partition", "dirichlet:0.5", "--shard", shard, "--partition-seed", "1", "--share-histogram"]
        return processes.start(command, log=settings.FL_DATA_DIR / "logs" / f"{state.name}.log", cwd=settings.BASE_DIR)

    def _wait_for(self, names: list[str]) -> None:
        """Until every client is online, so that the first round has them all."""
        end = time.monotonic() + ENROL_SECONDS
        with self.console.status(f"Waiting for {len(names)} clients"):
            while Client.objects.online(timezone.now()).filter(name__in=names).count() < len(names):
                self._check_alive()
                if time.monotonic() > end:
                    self.console.print("  Not every client is here yet; going on with those that are.")
                    return
                time.sleep(0.1)

    def _check_alive(self) -> None:
        logs = settings.FL_DATA_DIR / "logs"
        if self.server[0].poll() is not None:
            raise CommandError(f"The server ended. Its log says why: {logs / 'server.log'}")
        for agent in self.agents:
            if agent.poll() not in (None, 0):
                raise CommandError(f"A client ended. The logs say why: {logs}/{NAME}-*.log")

    # ---- the session

    def _session(self, clients: int, rounds: int) -> TrainingSession:
        now = timezone.now()
        unfinished = TrainingSession.objects.filter(name__startswith=NAME).exclude(status__in=ENDED).order_by("pk")
        if session := unfinished.first():
            self.console.print(f"  Going on with [bold]{session.name}[/], which had not finished.\n")
            if session.status == SessionStatus.PAUSED:
                sessions.resume(session, by=None, now=now)
            elif session.status == SessionStatus.DRAFT:
                sessions.start(session, by=None, now=now)
            return session
        digits = workloads.get("digits")
        number = TrainingSession.objects.filter(name__startswith=NAME).count() + 1
        spec = session_settings.Spec(
            name=f"{NAME} {number}",
            workload=digits.name,
            rounds=rounds,
            quorum=max(1, clients - 1),
            round_seconds=120,
            train=digits.train_defaults,
        )
        session = sessions.create(spec, by=None, now=now)
        sessions.start(session, by=None, now=now)
        return session

    def _watch(self, session: TrainingSession, *, then_end: bool) -> bool:
        """Show the session until it ends. Returns whether it completed; without `then_end`, only Ctrl-C returns."""
        with Display(self.console, session, f"http://127.0.0.1:{self.port}/sessions/{session.pk}/") as display:
            while display.update().status in (*LIVE, SessionStatus.DRAFT):
                self._check_alive()
                time.sleep(0.25)
        session.refresh_from_db()
        if then_end:
            display.wait_for_evaluation()
        display.summary()
        if not then_end:
            self.console.print("\n  The server goes on serving. Ctrl-C stops it and the clients.\n")
            while True:
                self._check_alive()
                time.sleep(1)
        return session.status == SessionStatus.COMPLETED

    def _stop(self) -> None:
        if self.agents or self.server:
            self.console.print("  Stopping the clients and the server.")
        processes.stop(self.agents, signal.SIGINT, patience=8)  # they leave politely, so the server ends after them
        processes.stop(self.server, signal.SIGTERM, patience=8)


def _check(clients: int, rounds: int, port: int) -> None:
    for name, value, high in (("clients", clients, 100), ("rounds", rounds, 100_000), ("port", port, 65_535)):
        if not 1 <= value <= high:
            raise CommandError(f"--{name} {value} cannot be: choose 1 to {high}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used: {error.strerror}. Name another, e.g. --port {port % 60_000 + 1}."
            ) from error


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/openapi.json", timeout=2):  # nosec B310  http
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _admin() -> tuple[str, str]:
    """The administrator's name and password; made on the first start, and kept for the next in a file."""
    users = get_user_model().objects
    kept = settings.FL_DATA_DIR / "admin-password"
    if not users.filter(is_superuser=True).exists():
        password = secrets.token_urlsafe(12)
        kept.touch(mode=0o600)
        kept.write_text(password + "\n")
        users.create_superuser("admin", password=password)
    user = users.filter(is_superuser=True).order_by("pk").first()
    if user is None or not kept.exists() or not user.check_password(kept.read_text().strip()):
        return (user.get_username() if user else "admin"), "(as you set it)"
    return user.get_username(), kept.read_text().strip()
