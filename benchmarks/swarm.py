"""A thousand agents: what they cost the server while they wait, and how long their rounds take.

    .venv/bin/python benchmarks/swarm.py [--agents 1000] [--params 10000] [--rounds 3] [--idle-seconds 60]
                                  [--webs 3 [--late-ms 2]]

The agents are coroutines of this process with a connection each. The server is the embedded one on SQLite; with
--webs it is PostgreSQL with so many web processes (`benchmarks/stack.py`), among which the agents are divided;
--late-ms makes each of its answers so much later, as on a machine far away. With --rounds 0 they only wait. First
all of them wait in the long poll; then all of them take part in every round: they download the model, report
progress with one point and upload an update, whose making is next to nothing. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import usage  # noqa: E402
from benchmarks.stack import Deployment, on_postgresql, on_sqlite  # noqa: E402
from benchmarks.wire import Connection  # noqa: E402
from federation.fl import weights  # noqa: E402

CALLING_AT_ONCE = 20  # while they enrol
ARRIVING = 300  # a second: an address may have a quarter of all connections before it has shown tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--params", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--webs", type=int, default=0, help="web processes on PostgreSQL; 0: one process on SQLite")
    parser.add_argument("--late-ms", type=float, default=0, help="by so much PostgreSQL's answers are late")
    options = parser.parse_args()
    if options.late_ms and not options.webs:
        parser.error("--late-ms is for PostgreSQL: give --webs, too")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with deployed(folder, options.webs, options.late_ms) as server:
            swarm = Swarm(server, options.params)
            found = asyncio.run(swarm.run(options.agents, options.rounds, options.idle_seconds))
    show(found | vars(options) | {"cores": os.cpu_count()})


def deployed(folder: Path, webs: int, late_ms: float) -> AbstractContextManager[Deployment]:
    return on_postgresql(folder, webs, later_seconds=late_ms / 1000) if webs else on_sqlite(folder)


class Swarm:
    def __init__(self, deployment: Deployment, num_parameters: int) -> None:
        self.deployment, self.stack = deployment, deployment.stack
        self.server = deployment.everything
        self.noise = np.random.default_rng(1).standard_normal(num_parameters, dtype=np.float32) * np.float32(0.01)
        self.num_parameters = num_parameters
        self.cuts = 0  # of connections, while their agents waited

    async def run(self, agents: int, rounds: int, idle_seconds: float) -> dict[str, Any]:
        began = time.monotonic()
        connections = await self.enrol(agents)
        enrolled = time.monotonic() - began
        with usage.watching(self.server) as peak:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.work(*one)) for one in enumerate(connections)]
                await asyncio.sleep(agents / ARRIVING)
                idle = await self.idle(idle_seconds)
                idle_mb = peak.mb
                trained = await self.rounds(agents, rounds) if rounds else {}
                for task in tasks:
                    task.cancel()
        waited = {"enrolment_seconds": enrolled, "idle_cores": idle, "idle_mb": idle_mb, "peak_mb": peak.mb}
        return waited | trained | {"cuts": self.cuts}

    async def rounds(self, agents: int, rounds: int) -> dict[str, Any]:
        """A session of all of them."""
        session = await asyncio.to_thread(self.launch, agents, rounds)
        before, began = self.deployment.cpu_seconds(), time.process_time()
        ended = await asyncio.to_thread(self.stack.ended, session, seconds=600, every=1.0)
        used = {role: now - before[role] for role, now in self.deployment.cpu_seconds().items()}
        by_swarm = time.process_time() - began
        assert ended["status"] == "completed", ended["reason"]
        return {
            "round_seconds": await asyncio.to_thread(self.seconds, session, agents),
            "rounds_server_cpu_seconds": sum(used.values()),
            "rounds_cpu_seconds_by_role": used,
            "rounds_swarm_cpu_seconds": by_swarm,
        }

    async def enrol(self, agents: int) -> list[Connection]:
        answer = self.stack.post("/invitations", {"uses": agents})
        assert answer.status_code == 201, answer.text
        code, door = answer.json()["join_code"], asyncio.Semaphore(CALLING_AT_ONCE)

        async def one(number: int) -> Connection:
            async with door:
                port = self.deployment.ports[number % len(self.deployment.ports)]
                caller = Connection(port)
                body = {"join_code": code, "name": f"agent-{number:04}", "info": {}}
                token = (await caller.json("POST", "/api/v1/enroll", body, status=201))["token"]
                caller.close()
                return Connection(port, token)

        return await asyncio.gather(*(one(number) for number in range(1, agents + 1)))

    async def idle(self, seconds: float) -> float:
        """Cores that the server uses while everybody waits."""
        await asyncio.sleep(5)  # all have come in
        before, began = usage.cpu_seconds(self.server), time.monotonic()
        await asyncio.sleep(seconds)
        return (usage.cpu_seconds(self.server) - before) / (time.monotonic() - began)

    def launch(self, agents: int, rounds: int) -> str:
        workload = {"name": "synthetic", "options": {"num_parameters": self.num_parameters}}
        return self.stack.session(workload=workload, rounds=rounds, quorum=agents, round_seconds=600)

    async def work(self, number: int, connection: Connection) -> None:
        """An agent's life."""
        await asyncio.sleep(number / ARRIVING)
        while True:
            try:
                status, body = await connection.request("GET", "/api/v1/work?wait=30")
            except (asyncio.IncompleteReadError, OSError):  # thousands at once: some are cut off and come again
                self.cuts += 1
                await asyncio.sleep(1)
                continue
            if status == 200:
                await self.train(connection, json.loads(body))
            else:
                assert status == 204, body

    async def train(self, connection: Connection, work: dict[str, Any]) -> None:
        base, seat = work["base_model"], work["participation"]
        status, model = await connection.request("GET", base["url"])
        assert (status, len(model)) == (200, base["num_bytes"]), model[:500]
        point = {"name": "train_loss", "step": 1, "value": 1.0}
        progress = {"phase": "training", "fraction": 1.0, "metrics": [point]}
        await connection.json("POST", f"/api/v1/participations/{seat}/progress", progress)
        update = weights.dump({"weight": self.noise}, {"num_examples": "100", "base_digest": base["digest"]})
        kind = "application/octet-stream"
        status, body = await connection.request("PUT", work["update_url"], update, content_type=kind)
        assert status == 204, body

    def seconds(self, session: str, agents: int) -> list[float]:
        """From each round's opening to the next one's, of the last one to its end."""
        rows = self.stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]
        assert all(seat["status"] == "aggregated" for row in rows for seat in row["participations"])
        assert all(len(row["participations"]) == agents for row in rows)
        times = [datetime.fromisoformat(row["opened_at"]) for row in rows]
        times.append(datetime.fromisoformat(rows[-1]["closed_at"]))
        return [(after - before).total_seconds() for before, after in zip(times, times[1:], strict=False)]


def show(found: dict[str, Any]) -> None:
    deployment = f"PostgreSQL, web processes: {found['webs']}" if found["webs"] else "SQLite, one process"
    deployment += f", answers {found['late_ms']} ms late" if found["late_ms"] else ""
    print(f"{found['agents']} agents, {found['params']} parameters, {found['cores']} cores; {deployment}")
    print(f"enrolment          {found['enrolment_seconds']:8.1f} s")
    print(f"waiting: CPU       {found['idle_cores']:8.3f} of a core")
    print(f"waiting: memory    {found['idle_mb']:8.0f} MB, peak of all the server's processes")
    if found["cuts"]:
        print(f"waiting: cut off   {found['cuts']:8} times; each came again")
    if found["rounds"]:
        show_rounds(found)
    print(json.dumps(found))


def show_rounds(found: dict[str, Any]) -> None:
    seconds = found["round_seconds"]
    print(f"round, median      {statistics.median(seconds):8.2f} s  ({', '.join(f'{s:.2f}' for s in seconds)})")
    print(f"round, longest     {max(seconds):8.2f} s")
    print(f"rounds: CPU        {found['rounds_server_cpu_seconds']:8.1f} s of the server, ", end="")
    print(f"{found['rounds_swarm_cpu_seconds']:.1f} s of the swarm")
    each = 1000 / found["agents"] / found["rounds"]
    roles = ", ".join(f"{role} {each * used:.1f}" for role, used in found["rounds_cpu_seconds_by_role"].items())
    print(f"a client and round {each * found['rounds_server_cpu_seconds']:8.1f} ms of the server's CPU  ({roles})")
    print(f"rounds: memory     {found['peak_mb']:8.0f} MB, peak of all the server's processes")


if __name__ == "__main__":
    main()
