"""The federation that `chaos.py` shakes, and what is noted of it meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from benchmarks.chaos_checks import Violated, check_log, check_round
from benchmarks.usage import family
from tests.e2e.stack import Stack, until
from tests.e2e.wire import Wire

AGENTS = 8
ROUNDS = 10  # a session
SIZES = (150_000, 1000)  # parameters of the two sessions: by tus in parts, and in one PUT
PART_BYTES = 1 << 18
ENV = {"FL_PART_BYTES": str(PART_BYTES), "FL_MAX_PUT_BYTES": "32768"}
ROUND_SECONDS = {"return": 3600, "loss": 8}
STUCK_SECONDS = 90  # without an accepted update, while nothing is broken
SAMPLE_SECONDS = 5.0


@dataclass
class Sample:
    """The server's processes at a moment, since when they run, and the agents' memory together."""

    at: float
    age: float
    mb: float
    files: int
    threads: int
    agents_mb: float


@dataclass
class Record:
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answers: Counter[str] = field(default_factory=Counter)  # to what was sent twice or late
    samples: list[Sample] = field(default_factory=list)
    sessions: Counter[str] = field(default_factory=Counter)
    rounds: Counter[str] = field(default_factory=Counter)
    events: int = 0
    updates: int = 0


class Site:
    """A server, eight agents, each behind a wire of its own, and two sessions at a time."""

    def __init__(self, folder: Path, *, mode: str, seed: int) -> None:
        self.mode, self.seed = mode, seed
        self.began = time.monotonic()
        self.record = Record()
        self.full = folder / "full"
        self.stack = Stack(folder, env=ENV, killable=True)
        web = self.stack.commands["web"]
        self.stack.commands["web"] = ["benchmarks/chaos_server.py", str(self.full), *web[1:]]
        self.wires = [Wire(self.stack.port) for _ in range(AGENTS)]
        self.names = [f"site-{n}" for n in range(1, AGENTS + 1)]
        self.away: dict[int, float] = {}  # agents that are to be started again, and when
        self.live: list[str] = []
        self._expected: list[list[str]] = []
        self._sampled = self._checked = 0.0

    # ---- what runs

    def start(self) -> None:
        self.stack.start()
        for number in range(AGENTS):
            self.start_agent(number)
        self.stack.online(AGENTS)

    def start_agent(self, number: int) -> None:
        self.stack.agent(self.names[number], "--workload", "synthetic", "--server", self.wires[number].url)

    def kill_agent(self, number: int) -> None:
        process = self.stack.agents.pop(self.names[number], None)
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def launch(self) -> None:
        for model in self.stack.folder.glob("agents/*/models/*"):
            model.unlink(missing_ok=True)  # what ran before began with the same models
        quorum = AGENTS if self.mode == "return" else AGENTS // 2
        common = {
            "rounds": ROUNDS,
            "cohort_size": AGENTS,
            "quorum": quorum,
            "round_seconds": ROUND_SECONDS[self.mode],
            "on_round_failure": "retry" if self.mode == "return" else "skip",
            "max_retries": 100,
        }
        self.live = [
            self.stack.session(
                name=f"{size} parameters", seed=self.seed + size, **common,
                workload={"name": "synthetic", "options": {"num_parameters": size}},
            )
            for size in SIZES
        ]  # fmt: skip

    def undisturbed(self) -> None:
        self.launch()
        until(lambda: not self.open_sessions(), seconds=600, why="the end of the undisturbed sessions")
        self._expected = [self.models(session) for session in self.live]
        self.launch()

    def open_sessions(self) -> list[str]:
        return [s for s in self.live if self.stack.get(f"/sessions/{s}")["status"] in ("running", "paused")]

    def models(self, session: str) -> list[str]:
        return [model["digest"] for model in self.stack.get(f"/sessions/{session}/models", limit=1000)["items"]]

    # ---- meanwhile

    def tend(self) -> None:
        """What is due whatever happens: agents that come back, sessions that ended, a look at the processes."""
        now = time.monotonic()
        for number, due in list(self.away.items()):
            if now >= due:
                del self.away[number]
                self.start_agent(number)
        if now - self._sampled >= SAMPLE_SECONDS:
            self._sampled = now
            self.sample()
        self.look_for_the_dead()
        if now - self._checked >= 0.5 and "web" in self.stack.running:
            self._checked = now
            with contextlib.suppress(requests.RequestException):
                if not self.open_sessions():
                    for index, session in enumerate(self.live):
                        self.check(index, session)
                    self.launch()

    def look_for_the_dead(self) -> None:
        for name, process in {**self.stack.running, **self.stack.agents}.items():
            if process.poll() is not None and process.returncode != -signal.SIGKILL:
                raise Violated(f"{name} ended by itself with status {process.returncode}")

    def sample(self) -> None:
        web = self.stack.running.get("web")
        with contextlib.suppress(psutil.Error, IndexError):
            members = family(web.pid) if web else []
            agents = [family(agent.pid)[0] for agent in list(self.stack.agents.values()) if agent.poll() is None]
            self.record.samples.append(
                Sample(
                    at=time.monotonic() - self.began,
                    age=time.time() - members[0].create_time(),
                    mb=sum(m.memory_info().rss for m in members) / 1e6,
                    files=sum(m.num_fds() for m in members),
                    threads=sum(m.num_threads() for m in members),
                    agents_mb=sum(agent.memory_info().rss for agent in agents) / 1e6,
                )
            )

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.tend()
            time.sleep(min(left, 0.05))

    def accepted(self) -> int:
        """How many updates the server ever accepted, read past the server."""
        path = self.stack.folder / "db.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            query = "SELECT count(*) FROM federation_event WHERE kind = 'update.received'"
            return int(database.execute(query).fetchone()[0])

    def recovered(self, kind: str, since: float, before: int) -> None:
        """Wait for the next accepted update."""
        end = time.monotonic() + STUCK_SECONDS
        while self.accepted() <= before:
            self.tend()
            if time.monotonic() > end:
                raise Violated(f"{kind}: no update was accepted for {STUCK_SECONDS} s; {self.why()}")
            time.sleep(0.02)
        self.record.recoveries[kind].append(time.monotonic() - since)

    def why(self) -> str:
        with contextlib.suppress(requests.RequestException):
            return json.dumps([self.stack.get(f"/sessions/{s}")["waiting"] for s in self.live])
        return "the server does not answer"

    # ---- what must hold

    def check(self, index: int, session: str) -> None:
        """The invariants of a session that ended."""
        state = self.stack.get(f"/sessions/{session}")
        events = self.stack.events(session)
        rounds = self.stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]
        self.record.sessions[state["status"]] += 1
        self.record.rounds.update(r["status"] for r in rounds)
        self.record.events += len(events)
        self.record.updates += sum(e["kind"] == "update.received" for e in events)
        where = f"session {session}"
        if self.mode == "return":
            if state["status"] != "completed":
                raise Violated(f"{where} {state['status']}: {state['reason']}")
            if self.models(session) != self._expected[index]:
                raise Violated(f"{where}: its models differ from those of the undisturbed run")
        check_log(where, events)
        for each in rounds:
            check_round(f"{where}, round {each['number']}.{each['attempt']}", each, state["quorum"], events)
