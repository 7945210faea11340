"""How soon a metric point reaches the browsers: from an agent's post to the handler of every open websocket.

    .venv/bin/python benchmarks/live.py [--load few|many|both] [--seconds 20] [--posts-per-second 1]

"few": 20 clients x 10 points a second, one watcher. "many": 20 clients x 50, that is 1,000 points a second, on one
session with 100 watchers. Agents post about once a second, with what came since. The watchers are real websocket
clients in a process of their own, the posters coroutines of this one; all share the machine with the server. A
point's delay is counted from before its post is sent to after its message was received. Every watcher must have
got every point exactly once. Prints a table and a JSON line; ends with status 1 where a target was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine, usage  # noqa: E402
from benchmarks.wire import Connection  # noqa: E402
from tests.e2e.stack import Stack, running  # noqa: E402

END = '"session.cancelled"'  # in the last message of a watched session
Point = tuple[str, int]  # seat, step


@dataclass(frozen=True)
class Load:
    name: str
    clients: int
    points_per_second: int  # of each client
    watchers: int
    target_ms: float


LOADS = (Load("few", 20, 10, 1, target_ms=150), Load("many", 20, 50, 100, target_ms=500))


@dataclass(frozen=True)
class Seen:
    """What the watchers got: the messages, and for each watcher which one came when (time.monotonic())."""

    messages: list[str]
    arrivals: list[list[tuple[float, int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", choices=(*(load.name for load in LOADS), "both"), default="both")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--posts-per-second", type=int, default=1, help="of each client")
    options = parser.parse_args()
    loads = [load for load in LOADS if options.load in (load.name, "both")]
    print(f"{machine.describe()}\n")
    found = [measure(load, options.seconds, options.posts_per_second) for load in loads]
    print("\n" + json.dumps(found))
    if any(row["p95_ms"] > row["target_ms"] for row in found):
        sys.exit(1)


def measure(load: Load, seconds: int, posts_per_second: int) -> dict[str, Any]:
    room = {"FL_SOCKETS_EACH": str(load.watchers + 1)}  # one key opens them all
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), env=room) as stack:
        server = [process.pid for process in stack.running.values()]
        tokens = asyncio.run(enrol(stack, load.clients))
        session = stack.session(quorum=load.clients, rounds=1, round_seconds=3600)
        seats = asyncio.run(take_seats(stack, tokens))
        with watching(stack, session, load.watchers) as watchers:
            before, began = usage.cpu_seconds(server), time.monotonic()
            sent = asyncio.run(post(stack, seats, load, seconds, posts_per_second))
            cores = (usage.cpu_seconds(server) - before) / (time.monotonic() - began)
            stack.post(f"/sessions/{session}/cancel")
            seen: Seen = watchers.recv()
    delays = delays_ms(seen, sent)
    p50, p95, longest = np.percentile(delays, [50, 95, 100])
    row = asdict(load) | {"points": len(sent), "p50_ms": p50, "p95_ms": p95, "max_ms": longest, "server_cores": cores}
    print(f"{load.clients} clients x {load.points_per_second} points a second, {load.watchers} watchers: ", end="")
    print(f"{len(sent):,} points, each seen exactly once by everybody")
    print(f"  delay: median {p50:.0f} ms, p95 {p95:.0f} ms (target {load.target_ms:.0f}), longest {longest:.0f} ms")
    print(f"  server: {cores:.2f} cores")
    return row


# ---- agents


async def enrol(stack: Stack, count: int) -> list[str]:
    caller = Connection(stack.port)
    bodies = ({"join_code": stack.join_code, "name": f"site-{n:03}", "info": {}} for n in range(count))
    tokens = [(await caller.json("POST", "/api/v1/enroll", body, status=201))["token"] for body in bodies]
    for token in tokens:  # seen once, so that the session may ask them
        status, _ = await Connection(stack.port, token).request("GET", "/api/v1/work?wait=0")
        assert status == 204
    return tokens


async def take_seats(stack: Stack, tokens: list[str]) -> dict[str, str]:
    """The token of each seat."""

    async def one(token: str) -> tuple[str, str]:
        work = await Connection(stack.port, token).json("GET", "/api/v1/work?wait=30")
        return work["participation"], token

    return dict(await asyncio.gather(*(one(token) for token in tokens)))


async def post(stack: Stack, seats: dict[str, str], load: Load, seconds: int, per_second: int) -> dict[Point, float]:
    """Send every client's points, the clients spread over the second. Returns when each point's post began."""
    sent: dict[Point, float] = {}
    began = time.monotonic()

    async def one(number: int, seat: str, token: str) -> None:
        connection, step = Connection(stack.port, token), 0
        for turn in range(seconds * per_second):
            due = began + (turn + number / load.clients) / per_second
            await asyncio.sleep(due - time.monotonic())
            steps = range(step + 1, step + 1 + load.points_per_second // per_second)
            step = steps[-1]
            points = [{"name": "train_loss", "step": n, "value": 1 / n} for n in steps]
            body = {"phase": "training", "fraction": turn / seconds / per_second, "metrics": points}
            sent.update(dict.fromkeys(((seat, n) for n in steps), time.monotonic()))
            await connection.json("POST", f"/api/v1/participations/{seat}/progress", body)

    await asyncio.gather(*(one(number, *pair) for number, pair in enumerate(seats.items())))
    return sent


# ---- watchers


@contextlib.contextmanager
def watching(stack: Stack, session: str, count: int) -> Iterator[Pipe]:
    """Within: watchers follow a session, each over a websocket. When it is cancelled they send what they saw."""
    url = f"ws://127.0.0.1:{stack.port}/ws/sessions/{session}/"
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    arguments = (url, str(stack.http.headers["Authorization"]), count, there)
    process = context.Process(target=watch, args=arguments, daemon=True)
    process.start()
    there.close()  # so that the end of the watchers is heard
    try:
        assert here.recv() == "ready"
        yield here
    finally:
        process.kill()
        process.join()


def watch(url: str, authorization: str, count: int, pipe: Pipe) -> None:
    pipe.send(asyncio.run(_watch(url, authorization, count, pipe)))


async def _watch(url: str, authorization: str, count: int, pipe: Pipe) -> Seen:
    """Messages are kept and read later: a browser would not share this machine with the server."""
    numbers: dict[str, int] = {}
    joined = asyncio.Barrier(count + 1)

    async def one() -> list[tuple[float, int]]:
        arrivals: list[tuple[float, int]] = []
        async with connect(url, additional_headers={"Authorization": authorization}, max_size=None) as socket:
            await socket.send('{"after": 0}')
            async for message in socket:
                arrivals.append((time.monotonic(), numbers.setdefault(str(message), len(numbers))))
                if len(arrivals) == 1:  # what was there before
                    await joined.wait()
                if END in message:
                    return arrivals
        raise AssertionError("the server closed the websocket")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(count)]
        await joined.wait()
        pipe.send("ready")
    return Seen(list(numbers), [task.result() for task in tasks])


def delays_ms(seen: Seen, sent: dict[Point, float]) -> list[float]:
    """Of every point at every watcher. Raises AssertionError where one was missed or came twice."""
    points = [list(_points(message)) for message in seen.messages]
    delays = []
    for arrivals in seen.arrivals:
        got = Counter(point for _, number in arrivals for point in points[number])
        assert got == Counter(sent.keys()), f"{len(sent)} points were sent, {got.total()} came to a watcher"
        delays += [1000 * (at - sent[point]) for at, number in arrivals for point in points[number]]
    return delays


def _points(message: str) -> Iterator[Point]:
    for event in json.loads(message)["events"]:
        if event["kind"] == "metrics.reported":
            for point in event["payload"]["points"]:
                yield event["payload"]["participation"], point["step"]


if __name__ == "__main__":
    main()
