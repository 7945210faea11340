"""The faults that `chaos.py` lets strike a federation, drawn from a seed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.chaos_checks import Violated
from benchmarks.chaos_site import AGENTS, ROUND_SECONDS, Site
from federation.killpoints import Point
from tests.e2e.stack import until
from tests.e2e.wire import Fault, Kind, Way

AT_START = (Point.STARTING, Point.LEASES_FREED)
SERVER_POINTS = tuple(list(Point)[list(Point).index(Point.PART_HALF_WRITTEN) : list(Point).index(Point.ENROLLED)])
AGENT_POINTS = tuple(list(Point)[list(Point).index(Point.DOWNLOAD_HALF_READ) : list(Point).index(Point.GIVEN_UP)])
KILLS = ("server killed", "server killed at a point", "agent killed", "agent killed at a point")
WEATHER = (
    "connections cut", "connections reset", "outage", "slow", "late", "swallowed", "cut at a byte",
    "sent twice", "sent late", "bit flipped", "disk full",
)  # fmt: skip
LOSSES = ("agent dies for good", "agent stays away")


@dataclass(frozen=True)
class Plan:
    """One fault, wholly drawn before it strikes, so that the seed alone decides about all of them."""

    kind: str
    agent: int
    seconds: float
    share: float  # of whatever is there to choose from, 0 to 1
    after: int  # bytes
    pause: float  # seconds before the next


def plans(seed: int, kinds: tuple[str, ...]) -> Iterator[Plan]:
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


def kinds_of(mode: str, kills: int) -> tuple[str, ...]:
    if kills:
        return KILLS
    return KILLS + WEATHER + (LOSSES if mode == "loss" else ())


class Faults:
    """Each method brings one kind about, named as its kind is. False: there was nothing to strike."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._flipped: set[tuple[str, int]] = set()
        self._died: tuple[float, int] | None = None  # when a process came to its point; updates accepted by then

    def strike(self, plan: Plan) -> None:
        before, since = self.site.accepted(), time.monotonic()
        act: Callable[[Plan], bool] = getattr(self, "_" + plan.kind.replace(" ", "_"))
        if not act(plan):
            return
        self.site.record.faults[plan.kind] += 1
        if plan.kind not in KILLS:
            since = time.monotonic()
        elif self._died:
            since, before = self._died
        self._died = None
        self.site.recovered(plan.kind, since, before)

    def _server_killed(self, plan: Plan) -> bool:
        self.site.stack.kill("web")
        self.restart_server(plan)
        return True

    def restart_server(self, plan: Plan) -> None:
        """Now and then it is killed once more while it starts."""
        if plan.share < 0.1:
            self.site.stack.kill_at("web", AT_START[plan.agent % 2])
            self.site.stack.start_only("web")
            self.site.stack.died("web")
        self.site.stack.start_only("web")

    def _server_killed_at_a_point(self, plan: Plan) -> bool:
        point = SERVER_POINTS[int(plan.share * len(SERVER_POINTS))]
        return self.dies_at("web", point, plan) and self.again(lambda: self.site.stack.start_only("web"))

    def _agent_killed(self, plan: Plan) -> bool:
        if plan.agent in self.site.away:
            return False
        self.site.kill_agent(plan.agent)
        return self.again(lambda: self.site.start_agent(plan.agent))

    def _agent_killed_at_a_point(self, plan: Plan) -> bool:
        if plan.agent in self.site.away:
            return False
        point = AGENT_POINTS[int(plan.share * len(AGENT_POINTS))]
        return self.dies_at(self.site.names[plan.agent], point, plan) and self.again(
            lambda: self.site.start_agent(plan.agent)
        )

    def again(self, start: Callable[[], None]) -> bool:
        start()
        return True

    def dies_at(self, name: str, point: Point, plan: Plan) -> bool:
        """Whether it came to the point within ten seconds."""
        self.site.stack.kill_at(name, point, time=1 + int(plan.seconds))
        processes = self.site.stack.running if name == "web" else self.site.stack.agents
        end = time.monotonic() + 10
        while processes[name].poll() is None and time.monotonic() < end:
            self.site.tend()
            time.sleep(0.02)
        (self.site.stack.folder / f"{name}.kill").unlink(missing_ok=True)
        time.sleep(0.05)  # it may have read the file just before
        if processes[name].poll() is None:
            return False
        processes.pop(name).wait()
        self._died = time.monotonic(), self.site.accepted()
        return True

    def _connections_cut(self, plan: Plan) -> bool:
        return self.site.wires[plan.agent].cut() > 0

    def _connections_reset(self, plan: Plan) -> bool:
        return self.site.wires[plan.agent].reset() > 0

    def _outage(self, plan: Plan) -> bool:
        wire = self.site.wires[plan.agent]
        wire.down()
        self.site.wait(plan.seconds)
        wire.up()
        return True

    def _slow(self, plan: Plan) -> bool:
        self.site.wires[plan.agent].bytes_per_second = 200_000
        self.site.wait(plan.seconds)
        self.site.wires[plan.agent].bytes_per_second = 0
        return True

    def _late(self, plan: Plan) -> bool:
        self.site.wires[plan.agent].delay_seconds = 0.05
        self.site.wait(plan.seconds)
        self.site.wires[plan.agent].delay_seconds = 0.0
        return True

    def _swallowed(self, plan: Plan) -> bool:
        wire = self.site.wires[plan.agent]
        swallowed = wire.swallow()
        self.site.wait(plan.seconds)
        wire.reset()
        return swallowed > 0

    def _cut_at_a_byte(self, plan: Plan) -> bool:
        wire = self.site.wires[plan.agent]
        kind, way = (Kind.CUT, Kind.RESET)[plan.agent % 2], (Way.UP, Way.DOWN)[plan.after % 2]
        wire.struck.clear()
        wire.faults = [Fault(kind, way, plan.after)]
        self.site.wait(plan.seconds)
        wire.faults = []
        return bool(wire.struck)

    def _disk_full(self, plan: Plan) -> bool:
        self.site.full.touch()
        self.site.wait(plan.seconds)
        self.site.full.unlink()
        return True

    def _agent_dies_for_good(self, plan: Plan) -> bool:
        """Another one joins in its place."""
        if plan.agent in self.site.away:
            return False
        self.site.kill_agent(plan.agent)
        self.site.names[plan.agent] = f"site-{plan.agent + 1}-{self.site.record.faults[plan.kind] + 2}-{plan.after}"
        self.site.away[plan.agent] = time.monotonic() + 4 * plan.seconds
        return True

    def _agent_stays_away(self, plan: Plan) -> bool:
        """For longer than a round, so that its seat is dropped and what it sends comes late."""
        if plan.agent in self.site.away:
            return False
        self.site.kill_agent(plan.agent)
        self.site.away[plan.agent] = time.monotonic() + ROUND_SECONDS["loss"] + 3 * plan.seconds
        return True

    def _sent_twice(self, plan: Plan) -> bool:
        return self.send_again(plan, same=True)

    def _sent_late(self, plan: Plan) -> bool:
        return self.send_again(plan, same=False)

    def send_again(self, plan: Plan, *, same: bool) -> bool:
        """An update for a seat that reported, again: the same bytes, or those of another round."""
        name = self.site.names[plan.agent]
        rounds = self.site.stack.get(f"/sessions/{self.site.live[1]}/rounds", limit=1000)["items"]
        seats = [s for r in rounds for s in r["participations"] if s["client"]["name"] == name and s["digest"]]
        files = [s for s in seats if self.weights(s["digest"]).exists()]
        if len(files) < 2:
            return False
        seat = files[int(plan.share * len(files))]
        update = seat if same else files[int(plan.share * len(files)) - 1]
        body = self.weights(update["digest"]).read_bytes()
        token = json.loads((self.site.stack.folder / "agents" / name / "identity.json").read_text())["token"]

        def put() -> list[requests.Response]:
            answer = requests.put(
                f"{self.site.stack.url}/api/v1/participations/{seat['id']}/update",
                data=body,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"},
                timeout=30,
            )
            return [] if answer.status_code == 503 else [answer]  # later: its model is being made again

        (answer,) = until(put, why=f"an answer to what {name} sends again")
        self.site.record.answers[f"{'same' if same else 'other'} bytes: {answer.status_code}"] += 1
        if answer.status_code not in ((204, 410) if same else (409, 410, 422)):
            raise Violated(f"{name} sent {'the same' if same else 'other'} bytes again: {answer.status_code}")
        return True

    def weights(self, digest: str) -> Path:
        found = list(self.site.stack.folder.glob(f"weights/**/{digest}*"))
        return found[0] if found else self.site.stack.folder / "weights" / digest

    def _bit_flipped(self, plan: Plan) -> bool:
        """In the newest model or in an update of the open round; once a round, for two faults may be one too many."""
        session = self.site.live[plan.agent % 2]
        state = self.site.stack.get(f"/sessions/{session}")
        if not state["round"] or state["round"]["number"] < 2 or (session, state["round"]["number"]) in self._flipped:
            return False
        digests = [state["model"]["digest"]]
        if plan.share < 0.5:
            seats = self.site.stack.get(f"/sessions/{session}/rounds", limit=1000)["items"][-1]["participations"]
            digests = [s["digest"] for s in seats if s["digest"]]
        files = [file for digest in digests if (file := self.weights(digest)).exists()]
        if not files:
            return False
        self._flipped.add((session, state["round"]["number"]))
        self._flipped.add((session, state["round"]["number"] + 1))
        at = plan.after % files[0].stat().st_size
        with files[0].open("r+b") as weights:
            weights.seek(at)
            byte = weights.read(1)[0]
            weights.seek(at)
            weights.write(bytes([byte ^ (1 << plan.agent)]))
        return True
