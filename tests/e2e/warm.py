"""Python processes that start at once: forked from one that has loaded the libraries already.

A server loads its libraries in two seconds and its own code in one, an agent torch in four; the tests start hundreds of
both. All of these are loaded before, but for the agent's own code (`tests.e2e.loaded` has the server's). As a program,
`python -m tests.e2e.warm ADDRESS MODULE...` is the one that forks. It answers questions on its standard input and at
its address, a Unix socket.

A server's evaluator needs torch, too. In a server that was forked here, `subprocess.Popen` has the evaluator forked
from the process that the agents come from; to the server it is a child with two pipes like any other.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
SERVER = """
    autobahn.websocket.protocol celery.app.base celery.bin.beat celery.bin.worker celery.worker.worker channels.auth
    channels.generic.websocket channels.routing cryptography.x509 django.contrib.admin django.core.handlers.asgi
    django.core.management django.core.serializers.json django.db.migrations.executor django.db.models django.test
    django.views.generic kombu.transport.virtual numpy OpenSSL pydantic sqlparse twisted.protocols.tls twisted.web.http
    uvicorn whitenoise tests.e2e.loaded
"""
OURS = "tests.e2e.loaded"
AGENT = "numpy requests sklearn.datasets torch torch.utils.data tests.e2e.seeing"
EVALUATOR = ("-m", "federation.fl.evaluation")


class Process:
    """As subprocess.Popen, in what the tests ask of one."""

    def __init__(self, parent: Parent | Line, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._parent = parent

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._parent.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if (status := self.poll()) is None:
            ends = select.poll()
            ends.register(handle := os.pidfd_open(self.pid), select.POLLIN)
            ends.poll(None if timeout is None else timeout * 1000)
            os.close(handle)
            status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Evaluator(Process):
    """As the subprocess.Popen of an evaluator, in what a server asks of it."""

    def __init__(self, address: str) -> None:
        (taken, given), (answers, said) = os.pipe(), os.pipe()
        line = Line(address)
        super().__init__(line, line.ask({"arguments": EVALUATOR, "env": dict(os.environ)}, taken, said, 2))
        os.close(taken)
        os.close(said)
        self.stdin, self.stdout = os.fdopen(given, "w"), os.fdopen(answers)

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stdin.close()
        self.wait()


class Line:
    """A way to a process that forks, for another process than the tests' own."""

    def __init__(self, address: str) -> None:
        self._asking = Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)

    def ask(self, question: dict[str, Any], *handles: int) -> Any:
        """handles: what is to be standard input, output and errors of a new process."""
        with self._asking:
            socket.send_fds(self._socket, [json.dumps(question).encode() + b"\n"], handles)
            return json.loads(self._socket.recv(1 << 16))


class Parent:
    """The process that forks, started when it is needed first."""

    def __init__(self, modules: str) -> None:
        self._asking = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.warm", _address(modules), *modules.split()],
            cwd=ROOT,
            env=_plain(os.environ) | ONE_THREAD | {"FL_DATA_DIR": os.path.dirname(_address(modules))},
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


def _plain(env: Mapping[str, str]) -> dict[str, str]:
    """Without the server's settings."""
    return {name: value for name, value in env.items() if not name.startswith(("FL_", "DATABASE_URL", "REDIS_URL"))}


@cache
def _address(modules: str) -> str:
    """Where the process with these modules is asked. A short path, as those of sockets must be."""
    folder = tempfile.mkdtemp(prefix="fl-warm-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"{folder}/{modules.split()[0]}"


@cache
def _parent(modules: str) -> Parent:
    return Parent(modules)


def start(arguments: Sequence[str], *, log: Path, env: Mapping[str, str], errors: Path | None = None) -> Process:
    """`python ARGUMENTS` in the project's folder: in a group of its own, its output and errors in files."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = _parent(SERVER if arguments[0] in ("manage.py", "-m") else AGENT)
    files = {"log": str(log), "errors": str(errors or log), "evaluators": _address(AGENT)}
    return Process(parent, parent.ask({"arguments": list(arguments), "env": dict(env)} | files))


def run(arguments: Sequence[str], *, env: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """As subprocess.run of `python ARGUMENTS`, whose output is captured."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        status = start(arguments, log=out, errors=errors, env=env).wait(timeout)
        return subprocess.CompletedProcess(arguments, status, out.read_text(), errors.read_text())


# ---- the process that forks


class Questions:
    """What is asked on standard input and at an address, with the files that came along and where to answer."""

    def __init__(self, address: str) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(address)
        self._door.listen()
        self._lines: dict[int, socket.socket] = {}
        self._begun: dict[int, bytes] = {0: b""}  # what was read of a question, by the file it comes from

    def __iter__(self) -> Iterator[tuple[dict[str, Any], list[int], int]]:
        """Until standard input ends."""
        while True:
            for file in select.select([self._door, *self._begun], [], [])[0]:
                if file is self._door:
                    self._let_in()
                    continue
                data, handles = self._read(file)
                if not data and file == 0:
                    return
                *whole, self._begun[file] = (self._begun[file] + data).split(b"\n")
                for question in whole:
                    yield json.loads(question), handles, file or 1
                if not data:
                    del self._begun[file]
                    self._lines.pop(file).close()

    def _let_in(self) -> None:
        line, _ = self._door.accept()
        self._lines[line.fileno()], self._begun[line.fileno()] = line, b""

    def _read(self, file: int) -> tuple[bytes, list[int]]:
        if file == 0:
            return os.read(0, 1 << 16), []
        return socket.recv_fds(self._lines[file], 1 << 16, 3)[:2]

    def forget(self) -> None:
        """In a new process, whose files are closed."""
        for one in (self._door, *self._lines.values()):
            one.detach()


def _main(address: str, modules: Sequence[str]) -> None:
    questions = Questions(address)
    for module in modules:
        importlib.import_module(module)
    assert "twisted.internet.reactor" not in sys.modules, "processes would share its event loop"
    gc.freeze()  # what is collected in one process would be copied there first
    if mine := _serve(questions):
        _become(mine)


def _serve(questions: Questions) -> dict[str, Any] | None:
    """Answer until nobody asks any more. In a new process: what it is to be."""
    for question, handles, back in questions:
        if "ended" in question:
            answer = _status(question["ended"])
        elif not (answer := _fork(question, handles)):
            questions.forget()
            return question
        os.write(back, json.dumps(answer).encode() + b"\n")
    return None


def _fork(question: dict[str, Any], handles: Sequence[int]) -> int:
    """As os.fork, but both go on only once the new process has settled in."""
    waits, settled = os.pipe()
    if pid := os.fork():
        for handle in (settled, *handles):
            os.close(handle)
        os.read(waits, 1)
        os.close(waits)
    else:
        _settle_in(question, handles)
    return pid


def _status(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _settle_in(question: dict[str, Any], handles: Sequence[int]) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for number, handle in enumerate(handles or _opened(question)):
        os.dup2(handle, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(question["env"])


def _opened(question: dict[str, Any]) -> list[int]:
    files = [os.open(question[name], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for name in ("log", "errors")]
    return [os.open(os.devnull, os.O_RDONLY), *files]


def _become(question: dict[str, Any]) -> None:
    arguments = question["arguments"]
    if OURS in sys.modules and not sys.modules[OURS].settle():
        os.execv(sys.executable, [sys.executable, *arguments])
    if evaluators := question.get("evaluators"):
        subprocess.Popen = _popen(evaluators)  # type: ignore[misc]
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        sys.path[:1] = [str((ROOT / arguments[0]).parent), *_given_path()]
        runpy.run_path(arguments[0], run_name="__main__")


def _given_path() -> list[str]:
    """Where the environment has Python look for modules."""
    return list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))


def _popen(address: str) -> type[subprocess.Popen[Any]]:
    class Popen(subprocess.Popen[Any]):
        """Has evaluators forked by the process at the address, if there is one. Other programs start as ever."""

        def __new__(cls, *given: Any, **_: Any) -> Any:
            if given and isinstance(given[0], list) and tuple(given[0][1:]) == EVALUATOR and os.path.exists(address):
                return Evaluator(address)
            return super().__new__(cls)

    return Popen


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
