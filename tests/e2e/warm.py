"""Python processes that start at once: forked from one that has loaded the libraries already.

A server loads its libraries in two seconds, an agent with torch in four; the tests start hundreds of both. Only what
others wrote is loaded before; all of ours is read by each process itself. As a program, `python -m tests.e2e.warm
MODULE...` is the one that forks.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
EVERY = 0.005  # seconds between two looks at a process that is waited for
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
SERVER = """
    autobahn.websocket.protocol celery.app.base celery.bin.beat celery.bin.worker celery.worker.worker channels.auth
    channels.generic.websocket channels.routing cryptography.x509 django.contrib.admin django.core.handlers.asgi
    django.core.management django.core.serializers.json django.db.migrations.executor django.db.models django.test
    django.views.generic kombu.transport.virtual numpy OpenSSL pydantic sqlparse twisted.protocols.tls twisted.web.http
    uvicorn whitenoise
"""
AGENT = "numpy requests sklearn.datasets torch torch.utils.data"


class Process:
    """As subprocess.Popen, in what the tests ask of one."""

    def __init__(self, parent: Parent, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._parent = parent

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._parent.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(EVERY)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Parent:
    """The process that forks, started when it is needed first."""

    def __init__(self, modules: str) -> None:
        self._asking = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.warm", *modules.split()],
            cwd=ROOT,
            env=os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


@cache
def _parent(modules: str) -> Parent:
    return Parent(modules)


def start(arguments: Sequence[str], *, log: Path, env: Mapping[str, str], errors: Path | None = None) -> Process:
    """`python ARGUMENTS` in the project's folder: in a group of its own, its output and errors in files."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = _parent(AGENT if arguments[0].startswith("clientagent/") else SERVER)
    files = {"log": str(log), "errors": str(errors or log)}
    return Process(parent, parent.ask({"arguments": list(arguments), "env": dict(env)} | files))


# ---- the process that forks


def _main(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    assert "twisted.internet.reactor" not in sys.modules, "processes would share its event loop"
    assert not {"federation", "dashboard", "flsite", "clientagent"} & set(sys.modules)
    gc.freeze()  # what is collected in one process would be copied there first
    if arguments := _serve():
        _become(arguments)


def _serve() -> Sequence[str]:
    """Answer questions until nobody asks any more. In a new process: its arguments."""
    rest = b""
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            question = json.loads(line)
            if "ended" in question:
                answer = _status(question["ended"])
            elif not (answer := _fork(question)):
                return question["arguments"]
            os.write(1, json.dumps(answer).encode() + b"\n")
    return ()


def _fork(question: dict[str, Any]) -> int:
    """As os.fork, but both go on only once the new process has settled in."""
    waits, settled = os.pipe()
    if pid := os.fork():
        os.close(settled)
        os.read(waits, 1)
        os.close(waits)
    else:
        _settle_in(question)
    return pid


def _status(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _settle_in(question: dict[str, Any]) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for handle, file in ((1, question["log"]), (2, question["errors"])):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), handle)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(question["env"])


def _become(arguments: Sequence[str]) -> None:
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        sys.path[0] = str((ROOT / arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _main(sys.argv[1:])
