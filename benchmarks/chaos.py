"""Random faults against a real server, eight real agents and two sessions; nothing may be lost.

    .venv/bin/python benchmarks/chaos.py --minutes 20 --seed 1 [--mode return|loss]
    .venv/bin/python benchmarks/chaos.py --kills 500 --seed 1

Two sessions run side by side, and two more when they end, until the time is over. The faults, their order, targets
and sizes come from the seed; when each strikes depends on the one before it, which is waited for.

return: every agent comes back before the deadline, and the models of every session equal, byte for byte, those
    of a session with the same seed that nobody disturbed.
loss: agents die for good (a new one joins in their place), stay away for longer than a round, and send too late.

In both: each accepted update is counted at most once, events are numbered without gap, every closed round says
why it closed as it did, and no process ends that was not killed. Status 1 where that does not hold.
A recovery is the time from a kill, or from the end of another fault, to the next update that the server accepted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shlex
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from benchmarks.usage import family  # noqa: E402
from federation.killpoints import Point  # noqa: E402
from tests.e2e.stack import Stack, until  # noqa: E402
from tests.e2e.wire import Fault, Kind, Way, Wire  # noqa: E402

AGENTS = 8
ROUNDS = 10  # a session
SIZES = (150_000, 1000)  # parameters of the two sessions: by tus in parts, and in one PUT
PART_BYTES = 1 << 18
ENV = {"FL_PART_BYTES": str(PART_BYTES), "FL_MAX_PUT_BYTES": "32768"}
ROUND_SECONDS = {"return": 3600, "loss": 8}
STUCK_SECONDS = 90  # without an accepted update, while nothing is broken
SAMPLE_SECONDS = 5.0
AT_START = (Point.STARTING, Point.LEASES_FREED)
SERVER_POINTS = tuple(list(Point)[list(Point).index(Point.PART_HALF_WRITTEN) : list(Point).index(Point.ENROLLED)])
AGENT_POINTS = tuple(list(Point)[list(Point).index(Point.DOWNLOAD_HALF_READ) :])
KILLS = ("server killed", "server killed at a point", "agent killed", "agent killed at a point")
WEATHER = (
    "connections cut", "connections reset", "outage", "slow", "late", "swallowed", "cut at a byte",
    "sent twice", "sent late", "bit flipped", "disk full",
)  # fmt: skip
LOSSES = ("agent dies for good", "agent stays away")


class Violated(Exception):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Plan:
    """One fault, wholly drawn before it strikes, so that the seed alone decides about all of them."""

    kind: str
    agent: int
    seconds: float
    share: float  # of whatever is there to choose from, 0 to 1
    after: int  # bytes
    pause: float  # seconds before the next


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


def plans(seed: int, kinds: tuple[str, ...]) -> Any:
    """The endless schedule."""
    rng = random.Random(seed)
    while True:
        yield Plan(
            kind=rng.choice(kinds),
            agent=rng.randrange(AGENTS),
            seconds=rng.uniform(0.5, 5),
            share=rng.random(),
            after=rng.randrange(1000, 600_000),
            pause=rng.expovariate(1.0),
        )


class Chaos:
    def __init__(self, folder: Path, *, mode: str, seed: int) -> None:
        self.mode, self.seed = mode, seed
        self.began = time.monotonic()
        self.record = Record()
        self._full = folder / "full"
        self.stack = Stack(folder, env=ENV)
        web = self.stack.commands["web"]
        self.stack.commands["web"] = ["benchmarks/chaos_server.py", str(self._full), *web[1:]]
        self.wires = [Wire(self.stack.port) for _ in range(AGENTS)]
        self.names = [f"site-{n}" for n in range(1, AGENTS + 1)]
        self._away: dict[int, float] = {}  # agents that are to be started again, and when
        self._live: list[str] = []
        self._expected: list[list[str]] = []
        self._flipped: set[tuple[str, int]] = set()
        self._died: tuple[float, int] | None = None  # when a process came to its point; updates accepted by then
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
        self._live = [
            self.stack.session(
                name=f"{size} parameters", seed=self.seed + size, **common,
                workload={"name": "synthetic", "options": {"num_parameters": size}},
            )
            for size in SIZES
        ]  # fmt: skip

    def undisturbed(self) -> None:
        self.launch()
        until(lambda: not self.open_sessions(), seconds=600, why="the end of the undisturbed sessions")
        self._expected = [self.models(session) for session in self._live]
        self.launch()

    def open_sessions(self) -> list[str]:
        return [s for s in self._live if self.stack.get(f"/sessions/{s}")["status"] in ("running", "paused")]

    def models(self, session: str) -> list[str]:
        return [model["digest"] for model in self.stack.get(f"/sessions/{session}/models", limit=1000)["items"]]

    # ---- meanwhile

    def tend(self) -> None:
        """What is due whatever happens: agents that come back, sessions that ended, a look at the processes."""
        now = time.monotonic()
        for number, due in list(self._away.items()):
            if now >= due:
                del self._away[number]
                self.start_agent(number)
        if now - self._sampled >= SAMPLE_SECONDS:
            self._sampled = now
            self.sample()
        self.look_for_the_dead()
        if now - self._checked >= 0.5 and "web" in self.stack.running:
            self._checked = now
            with contextlib.suppress(requests.RequestException):
                if not self.open_sessions():
                    for index, session in enumerate(self._live):
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
            return json.dumps([self.stack.get(f"/sessions/{s}")["waiting"] for s in self._live])
        return "the server does not answer"

    # ---- the faults

    def strike(self, plan: Plan) -> None:
        before, since = self.accepted(), time.monotonic()
        act: Callable[[Plan], bool] = getattr(self, "_" + plan.kind.replace(" ", "_"))
        if not act(plan):
            return
        self.record.faults[plan.kind] += 1
        if plan.kind not in KILLS:
            since = time.monotonic()
        elif self._died:
            since, before = self._died
        self._died = None
        self.recovered(plan.kind, since, before)

    def _server_killed(self, plan: Plan) -> bool:
        self.stack.kill("web")
        self.restart_server(plan)
        return True

    def restart_server(self, plan: Plan) -> None:
        """Now and then it is killed once more while it starts."""
        if plan.share < 0.1:
            self.stack.kill_at("web", AT_START[plan.agent % 2])
            self.stack.start_only("web")
            self.stack.died("web")
        self.stack.start_only("web")

    def _server_killed_at_a_point(self, plan: Plan) -> bool:
        point = SERVER_POINTS[int(plan.share * len(SERVER_POINTS))]
        return self.dies_at("web", point, plan) and self.again(lambda: self.stack.start_only("web"))

    def _agent_killed(self, plan: Plan) -> bool:
        if plan.agent in self._away:
            return False
        self.kill_agent(plan.agent)
        return self.again(lambda: self.start_agent(plan.agent))

    def _agent_killed_at_a_point(self, plan: Plan) -> bool:
        if plan.agent in self._away:
            return False
        point = AGENT_POINTS[int(plan.share * len(AGENT_POINTS))]
        return self.dies_at(self.names[plan.agent], point, plan) and self.again(lambda: self.start_agent(plan.agent))

    def again(self, start: Callable[[], None]) -> bool:
        start()
        return True

    def dies_at(self, name: str, point: Point, plan: Plan) -> bool:
        """Whether it came to the point within ten seconds."""
        self.stack.kill_at(name, point, time=1 + int(plan.seconds))
        processes = self.stack.running if name == "web" else self.stack.agents
        end = time.monotonic() + 10
        while processes[name].poll() is None and time.monotonic() < end:
            self.tend()
            time.sleep(0.02)
        (self.stack.folder / f"{name}.kill").unlink(missing_ok=True)
        time.sleep(0.05)  # it may have read the file just before
        if processes[name].poll() is None:
            return False
        processes.pop(name).wait()
        self._died = time.monotonic(), self.accepted()
        return True

    def _connections_cut(self, plan: Plan) -> bool:
        return self.wires[plan.agent].cut() > 0

    def _connections_reset(self, plan: Plan) -> bool:
        return self.wires[plan.agent].reset() > 0

    def _outage(self, plan: Plan) -> bool:
        wire = self.wires[plan.agent]
        wire.down()
        self.wait(plan.seconds)
        wire.up()
        return True

    def _slow(self, plan: Plan) -> bool:
        self.wires[plan.agent].bytes_per_second = 200_000
        self.wait(plan.seconds)
        self.wires[plan.agent].bytes_per_second = 0
        return True

    def _late(self, plan: Plan) -> bool:
        self.wires[plan.agent].delay_seconds = 0.05
        self.wait(plan.seconds)
        self.wires[plan.agent].delay_seconds = 0.0
        return True

    def _swallowed(self, plan: Plan) -> bool:
        wire = self.wires[plan.agent]
        swallowed = wire.swallow()
        self.wait(plan.seconds)
        wire.reset()
        return swallowed > 0

    def _cut_at_a_byte(self, plan: Plan) -> bool:
        wire = self.wires[plan.agent]
        kind, way = (Kind.CUT, Kind.RESET)[plan.agent % 2], (Way.UP, Way.DOWN)[plan.after % 2]
        wire.struck.clear()
        wire.faults = [Fault(kind, way, plan.after)]
        self.wait(plan.seconds)
        wire.faults = []
        return bool(wire.struck)

    def _disk_full(self, plan: Plan) -> bool:
        self._full.touch()
        self.wait(plan.seconds)
        self._full.unlink()
        return True

    def _agent_dies_for_good(self, plan: Plan) -> bool:
        """Another one joins in its place."""
        if plan.agent in self._away:
            return False
        self.kill_agent(plan.agent)
        self.names[plan.agent] = f"site-{plan.agent + 1}-{self.record.faults[plan.kind] + 2}-{plan.after}"
        self._away[plan.agent] = time.monotonic() + 4 * plan.seconds
        return True

    def _agent_stays_away(self, plan: Plan) -> bool:
        """For longer than a round, so that its seat is dropped and what it sends comes late."""
        if plan.agent in self._away:
            return False
        self.kill_agent(plan.agent)
        self._away[plan.agent] = time.monotonic() + ROUND_SECONDS["loss"] + 3 * plan.seconds
        return True

    def _sent_twice(self, plan: Plan) -> bool:
        return self.send_again(plan, same=True)

    def _sent_late(self, plan: Plan) -> bool:
        return self.send_again(plan, same=False)

    def send_again(self, plan: Plan, *, same: bool) -> bool:
        """An update for a seat that reported, again: the same bytes, or those of another round."""
        name = self.names[plan.agent]
        rounds = self.stack.get(f"/sessions/{self._live[1]}/rounds", limit=1000)["items"]
        seats = [s for r in rounds for s in r["participations"] if s["client"]["name"] == name and s["digest"]]
        files = [s for s in seats if self.weights(s["digest"]).exists()]
        if len(files) < 2:
            return False
        seat = files[int(plan.share * len(files))]
        update = seat if same else files[int(plan.share * len(files)) - 1]
        body = self.weights(update["digest"]).read_bytes()
        token = json.loads((self.stack.folder / "agents" / name / "identity.json").read_text())["token"]

        def put() -> list[requests.Response]:
            answer = requests.put(
                f"{self.stack.url}/api/v1/participations/{seat['id']}/update",
                data=body,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"},
                timeout=30,
            )
            return [] if answer.status_code == 503 else [answer]  # later: its model is being made again

        (answer,) = until(put, why=f"an answer to what {name} sends again")
        self.record.answers[f"{'same' if same else 'other'} bytes: {answer.status_code}"] += 1
        if answer.status_code not in ((204, 410) if same else (409, 410, 422)):
            raise Violated(f"{name} sent {'the same' if same else 'other'} bytes again: {answer.status_code}")
        return True

    def weights(self, digest: str) -> Path:
        found = list(self.stack.folder.glob(f"weights/**/{digest}*"))
        return found[0] if found else self.stack.folder / "weights" / digest

    def _bit_flipped(self, plan: Plan) -> bool:
        """In the newest model or in an update of the open round; once a round, for two faults may be one too many."""
        session = self._live[plan.agent % 2]
        state = self.stack.get(f"/sessions/{session}")
        if not state["round"] or state["round"]["number"] < 2 or (session, state["round"]["number"]) in self._flipped:
            return False
        digests = [state["model"]["digest"]]
        if plan.share < 0.5:
            seats = self.stack.get(f"/sessions/{session}/rounds", limit=1000)["items"][-1]["participations"]
            digests = [s["digest"] for s in seats if s["digest"]]
        files = [file for digest in digests if (file := self.weights(digest)).exists()]
        if not files:
            return False
        self._flipped.add((session, state["round"]["number"]))
        self._flipped.add((session, state["round"]["number"] + 1))
        with files[0].open("r+b") as file:
            at = plan.after % files[0].stat().st_size
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << plan.agent)]))
        return True

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


def check_log(where: str, events: list[dict[str, Any]]) -> None:
    if [e["seq"] for e in events] != list(range(1, len(events) + 1)):
        raise Violated(f"{where}: its events have a gap or a repeat")
    published = [e["payload"]["version"] for e in events if e["kind"] == "model.published"]
    if published != sorted(set(published)):
        raise Violated(f"{where}: versions were published twice or out of order: {published}")


def check_round(where: str, round_: dict[str, Any], quorum: int, events: list[dict[str, Any]]) -> None:
    """Closed, with a reason where it failed, a quorum where not, and each update accepted and counted once."""
    seats = round_["participations"]
    counted = [s for s in seats if s["status"] == "aggregated"]
    received = Counter(e["payload"]["participation"] for e in events if e["kind"] == "update.received")
    damaged = Counter(
        e["payload"].get("participation") for e in events if e["kind"] == "storage.damaged"
    )  # its client was asked again
    if round_["status"] not in ("completed", "failed", "cancelled") or not round_["closed_at"]:
        raise Violated(f"{where} is {round_['status']} though its session ended")
    if round_["status"] == "completed" and len(counted) < quorum:
        raise Violated(f"{where} was completed with {len(counted)} updates of {quorum}")
    if round_["status"] != "completed" and (counted or not round_["reason"]):
        raise Violated(f"{where} {round_['status']} with {len(counted)} counted and the reason {round_['reason']!r}")
    for seat in seats:
        if not 0 <= received[seat["id"]] <= 1 + damaged[seat["id"]]:
            raise Violated(f"{where}: the update of {seat['client']['name']} was accepted {received[seat['id']]} times")
        if seat["status"] == "aggregated" and not received[seat["id"]]:
            raise Violated(f"{where}: {seat['client']['name']} is counted and was never accepted")
        if seat["status"] in ("dropped", "failed", "rejected") and not seat["reason"]:
            raise Violated(f"{where}: the seat of {seat['client']['name']} {seat['status']} without a reason")
        if seat["status"] in ("invited", "training"):
            raise Violated(f"{where}: the seat of {seat['client']['name']} is still {seat['status']}")


def kinds_of(mode: str, kills: int) -> tuple[str, ...]:
    if kills:
        return KILLS
    return KILLS + WEATHER + (LOSSES if mode == "loss" else ())


def run(chaos: Chaos, *, minutes: float, kills: int) -> None:
    """Strike until the time is over or so many were killed, then let the sessions end."""
    chaos.start()
    if chaos.mode == "return":
        chaos.undisturbed()
    else:
        chaos.launch()
    chaos.began = time.monotonic()
    end, told = chaos.began + minutes * 60, 0.0
    for plan in plans(chaos.seed, kinds_of(chaos.mode, kills)):
        killed = sum(chaos.record.faults[kind] for kind in KILLS)
        if (kills and killed >= kills) or (not kills and time.monotonic() > end):
            break
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(progress(chaos, killed), file=sys.stderr, flush=True)
        with contextlib.suppress(requests.RequestException):  # the server is on its way up
            chaos.strike(plan)
        chaos.wait(plan.pause)
    last = list(chaos._live)
    until(lambda: not chaos.open_sessions(), seconds=300, why="the end of the last sessions")
    for index, session in enumerate(last):
        chaos.check(index, session)


def progress(chaos: Chaos, killed: int) -> str:
    record, seconds = chaos.record, time.monotonic() - chaos.began
    return (
        f"{seconds:5.0f} s: {sum(record.faults.values())} faults, {killed} of them kills; "
        f"{sum(record.sessions.values())} sessions and {sum(record.rounds.values())} rounds checked"
    )


def report(chaos: Chaos) -> None:
    record, minutes = chaos.record, (time.monotonic() - chaos.began) / 60
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}\n")
    print(f"{minutes:.1f} min, {AGENTS} agents, sessions of {' and '.join(f'{size:,}' for size in SIZES)} parameters")
    print(f"  {'fault':<26} {'times':>6}   seconds to the next accepted update: median, worst")
    for kind, count in sorted(record.faults.items()):
        seconds = record.recoveries[kind]
        figures = f"{statistics.median(seconds):8.2f} {max(seconds):8.2f}" if seconds else ""
        print(f"  {kind:<26} {count:>6}   {figures}")
    killed = [s for kind in KILLS[:2] for s in record.recoveries[kind]]
    if killed:
        print(f"  {'the server was killed':<26} {len(killed):>6}   {statistics.median(killed):8.2f} {max(killed):8.2f}")
    print(f"  all faults                 {sum(record.faults.values()):>6}")
    print(f"  sent again or late: {dict(record.answers)}")
    print(f"  sessions: {dict(record.sessions)}; rounds: {dict(record.rounds)}")
    print(f"  {record.updates} updates accepted, {record.events} events")
    show_samples(record.samples)


def show_samples(samples: list[Sample]) -> None:
    """In quarters of the run, of the server where it had run for 5 s at least."""
    print(f"  {'over time':<12} {'server MB':>10} {'files':>6} {'threads':>8} {'agents MB':>10}   (medians)")
    old = [sample for sample in samples if sample.age >= 5] or samples
    size = max(1, -(-len(old) // 4))
    for start in range(0, len(old), size):
        part = old[start : start + size]
        middle = {n: statistics.median(getattr(s, n) for s in part) for n in ("mb", "files", "threads", "agents_mb")}
        print(
            f"  to {part[-1].at:6.0f} s  {middle['mb']:>10.0f} {middle['files']:>6.0f} "
            f"{middle['threads']:>8.0f} {middle['agents_mb']:>10.0f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=("return", "loss"), default="return")
    parser.add_argument("--kills", type=int, default=0, help="only kills, so many, in place of --minutes")
    parser.add_argument("--keep", type=Path, help="a folder for everything that is written; it is kept")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        chaos = Chaos(folder, mode=options.mode, seed=options.seed)
        stack.callback(chaos.stack.stop)
        status = 0
        try:
            run(chaos, minutes=options.minutes, kills=options.kills)
        except (Violated, AssertionError) as error:
            print(f"VIOLATED: {error}", file=sys.stderr)
            status = 1
        report(chaos)
        print("all invariants held" if status == 0 else "an invariant does not hold")
    return status


if __name__ == "__main__":
    sys.exit(main())
