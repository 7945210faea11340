"""A whole installation in a temporary folder: real server, real agents, as processes that end with the test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import requests

from federation.killpoints import Point
from flsite import processes
from tests.e2e import warm
from tests.e2e.shared import once

ROOT = Path(__file__).resolve().parents[2]
Process = subprocess.Popen[bytes] | warm.Process
PASSWORD = "correct-horse-battery"
OFTEN, SELDOM = 0.05, 0.3  # seconds between two questions
SYNTHETIC = {"name": "synthetic", "options": {"num_parameters": 5000}}


SHELL = """
import json, socket, traceback
from django.db import connections
door = socket.socket(socket.AF_UNIX)
door.bind({!r})
door.listen()
line = door.accept()[0]
for code in line.makefile():
    said = "done"
    try:
        exec(json.loads(code), {{}})
    except Exception:
        said = traceback.format_exc()
    connections.close_all()
    line.sendall(said.encode() + b"\\n")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what: Callable[[], Any], *, seconds: float = 60, every: float = 0, why: str = "") -> Any:
    """The first true answer of `what`, asked every so many seconds; or less often the longer it takes: who asks takes
    the processor from whom the answer depends on.
    """
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        with contextlib.suppress(requests.RequestException):  # the server may be down on purpose
            if found := what():
                return found
        time.sleep(every or min(max(OFTEN, passed / 10), SELDOM))
    raise AssertionError(f"not within {seconds} s: {why or what}")


def daphne(port: int) -> list[str]:
    return ["manage.py", "runserver", f"127.0.0.1:{port}", "--noreload"]


def uvicorn(port: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    ending = ["--timeout-graceful-shutdown", "1"]  # or long polls would hold it
    limits = ["--http", "h11", "--h11-max-incomplete-event-size", "16384", "--timeout-keep-alive", "60"]
    options = [*ending, *limits, "--no-proxy-headers", "--log-level", "warning"]
    return ["-m", "uvicorn", "flsite.asgi:application", *where, *options]


def _manage(env: dict[str, str], *words: str) -> str:
    done = warm.run(["manage.py", *words], env=env)
    assert done.returncode == 0, f"manage.py {' '.join(words)}: {(done.stdout + done.stderr)[-2000:]}"
    return done.stdout


def _set_up(env: dict[str, str]) -> tuple[str, str]:
    """Make the database and who is to use it. Returns a join code and an API key."""
    _manage(env, "migrate")
    _manage(env, "createsuperuser", "--noinput", "--username", "alice", "--email", "alice@example.org")
    join_code = json.loads(_manage(env, "createinvitation", "--uses", "200", "--json"))["join_code"]
    return join_code, json.loads(_manage(env, "createapikey", "alice", "--json"))["api_key"]


@cache
def on_sqlite() -> tuple[Path, str, str]:
    """A data folder that was set up once for all who need one, with a join code and an API key."""
    made = once("installed", _install)
    join_code, api_key = json.loads((made / "keys.json").read_text())
    return made / "data", join_code, api_key


def _install(folder: Path) -> None:
    (folder / "keys.json").write_text(json.dumps(_set_up(_env(folder / "data"))))


def _env(folder: Path) -> dict[str, str]:
    given = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    return given | {"FL_DATA_DIR": str(folder), "FL_WEBHOOK_HOSTS": "127.0.0.1", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}


class Stack:
    """`services`: further processes beside the web server, as arguments of `python`, e.g. a worker.

    `web`: what makes the web server's arguments from its port. `killable`: processes look at each point whether
    they are to die there, which costs a little. `api_key`: of the installation that is in the folder already.
    `warm`: processes are forked from one that has loaded the libraries; where they are measured, they are not.
    """

    warm = False
    agent_command: Sequence[str] = ("clientagent/run.py",)

    def __init__(
        self,
        folder: Path,
        *,
        env: dict[str, str] | None = None,
        services: dict[str, list[str]] | None = None,
        web: Callable[[int], list[str]] = daphne,
        killable: bool = False,
        api_key: str = "",
    ):
        self.folder, self.port, self.killable = folder, free_port(), killable
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = _env(folder) | (env or {})
        self.commands = {"web": web(self.port)} | (services or {})
        self.running: dict[str, Process] = {}
        self.agents: dict[str, Process] = {}
        self._shell: socket.socket | None = None
        if api_key:
            self.join_code = ""
        elif "DATABASE_URL" in self.env:
            self.join_code, api_key = _set_up(self.env)
        else:
            made, self.join_code, api_key = on_sqlite()
            shutil.copytree(made, folder, dirs_exist_ok=True)
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {api_key}"
        self.http.trust_env = False

    def manage(self, *words: str, **env: str) -> str:
        return _manage(self.env | env, *words)

    def shell(self, code: str) -> None:
        """Run code in a process of Django beside the server, which is started at the first time."""
        if self._shell is None:
            with tempfile.TemporaryDirectory(prefix="fl-") as folder:  # a short path, as those of sockets must be
                self.running["shell"] = self._process(
                    "shell", ["manage.py", "shell", "-c", SHELL.format(f"{folder}/s")]
                )
                self._shell = socket.socket(socket.AF_UNIX)
                until(lambda: self._shell.connect_ex(f"{folder}/s") == 0, why="a shell")
            self._shell.settimeout(120)
        self._shell.sendall(json.dumps(code).encode() + b"\n")
        said = self._shell.recv(1 << 16)
        assert said == b"done\n", said.decode()

    def start_only(self, name: str) -> None:
        self.running[name] = self._process(name, self.commands[name])

    def _process(self, name: str, arguments: Sequence[str], **more: str) -> Process:
        env = self.env | more | ({"FL_KILL_FILE": str(self._kill_file(name))} if self.killable else {})
        log = self.folder / f"{name}.log"
        if self.warm:
            return warm.start(arguments, log=log, env=env)
        return processes.start([sys.executable, *arguments], log=log, cwd=ROOT, env=env)

    def _kill_file(self, name: str) -> Path:
        return self.folder / f"{name}.kill"

    def kill_at(self, name: str, point: Point, *, time: int = 1) -> None:
        """Let a process kill itself when it comes to a point, for the n-th time from now on."""
        assert self.killable
        written = self.folder / "kill.tmp"
        written.write_text(f"{point}:{time}")
        written.rename(self._kill_file(name))

    def died(self, name: str) -> None:
        """Wait until a process killed itself."""
        process = (self.running if name in self.running else self.agents).pop(name)
        assert process.wait(30) == -signal.SIGKILL, f"{name} ended otherwise; logs are in {self.folder}"

    def start(self, *names: str) -> None:
        for name in names or self.commands:
            self.start_only(name)
        if "web" in self.running:
            until(lambda: requests.get(f"{self.url}/healthz", timeout=5).ok, every=OFTEN, why=f"server at {self.url}")

    def kill(self, name: str) -> None:
        """SIGKILL, with every child."""
        process = self.running.pop(name)
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def agent(self, name: str, *more: str) -> Process:
        """A real agent, enrolling at its first start and coming back at later ones."""
        state = self.folder / "agents" / name
        command = [*self.agent_command, "--server", self.url, "--state", str(state)]
        if not state.exists():
            command += ["--join", self.join_code, "--name", name]
        self.agents[name] = self._process(name, [*command, *more])
        return self.agents[name]

    def slow_agents(self) -> Path:
        """From now on, agents train until the file that is returned is there, and need next to no processor for it."""
        go = self.folder / "go"
        self.agent_command, self.env["GO"] = ("tests/e2e/slow_agent.py",), str(go)
        return go

    def script(self, name: str, file: Path, *more: str, by: Sequence[str] = (), path: Sequence[Path] = ()) -> Process:
        """A script that takes part by the library, as this client.

        by: a launcher, as arguments of `python`. path: where it finds further modules.
        """
        flags = ["--server", self.url, "--join", self.join_code, "--name", name]
        state = ["--state", str(self.folder / "agents" / name)]
        modules = os.pathsep.join(map(str, [*path, ROOT]))
        self.agents[name] = self._process(name, [*by, str(file), *more, *flags, *state], PYTHONPATH=modules)
        return self.agents[name]

    def crowd(self, name: str, *more: str) -> Process:
        """A process of many clients. --clients is among the arguments."""
        state = self.folder / "agents" / name
        command = [*self.agent_command, "--server", self.url, "--state", str(state), "--name", name]
        if not state.exists():
            command += ["--join", self.join_code]
        self.agents[name] = self._process(name, [*command, *more])
        return self.agents[name]

    def get(self, path: str, **params: Any) -> Any:
        answer = self.http.get(f"{self.url}/api/v1{path}", params=params, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        return self.http.post(f"{self.url}/api/v1{path}", json=body, timeout=30)

    def two_sites(self, *more: str) -> None:
        """The agents site-1 and site-2, each with a hundred digits of its own: enough to see something learnt."""
        for n in (1, 2):
            self.agent(f"site-{n}", "--partition", "iid", "--shard", f"{n}/2", "--samples", "100", *more)
        self.online(2)

    def session(self, **change: Any) -> str:
        body = {"name": "a session", "workload": SYNTHETIC, "rounds": 3, "quorum": 2, "round_seconds": 120} | change
        answer = self.post("/sessions", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def ended(self, session: str, *, seconds: float = 120, every: float = 0) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            state = self.get(f"/sessions/{session}")
            return state if state["status"] in ("completed", "failed", "cancelled") else None

        why = f"the end of session {session}; logs are in {self.folder}"
        return until(look, seconds=seconds, every=every, why=why)

    def events(self, session: str) -> list[dict[str, Any]]:
        found, after = [], 0
        while page := self.get(f"/sessions/{session}/events", after=after, limit=1000)["items"]:
            found += page
            after = page[-1]["seq"]
        return found

    def online(self, count: int, *, seconds: float = 60) -> None:
        until(
            lambda: sum(c["online"] for c in self.get("/clients", limit=1000)["items"]) >= count,
            seconds=seconds,
            why=f"{count} clients online; logs are in {self.folder}",
        )

    def stop(self) -> None:
        if self._shell is not None:
            self._shell.close()
        processes.stop(list(self.agents.values()), signal.SIGKILL, patience=5)
        processes.stop(list(self.running.values()), signal.SIGTERM, patience=8)


@contextlib.contextmanager
def running(folder: Path, **more: Any) -> Iterator[Stack]:
    stack = Stack(folder, **more)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def assert_nothing_counted_twice(stack: Stack, session: str) -> None:
    """Each seat reported once, each round completed once, and the log numbered without gap."""
    events = stack.events(session)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    received = [e["payload"]["participation"] for e in events if e["kind"] == "update.received"]
    assert len(received) == len(set(received))
    completed = [e["payload"]["round"] for e in events if e["kind"] == "round.completed"]
    assert completed == sorted(set(completed))
    published = [e["payload"]["version"] for e in events if e["kind"] == "model.published"]
    assert published == list(range(len(published)))
