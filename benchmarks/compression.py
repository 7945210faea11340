"""What compressing updates saves and costs: a real server and real agents train `digits`, once for each compression.

    .venv/bin/python benchmarks/compression.py [--clients 3] [--rounds 10] [--fraction 0.1]

Prints, for each compression, the bytes that a client uploads in a round, their ratio to an uncompressed update, and
the final model's accuracy on the held-out test set; as its last line the same as JSON.
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from federation.fl.encodings import ENCODINGS  # noqa: E402
from tests.e2e.stack import Stack, running, until  # noqa: E402

SECONDS = 900


@dataclass
class Result:
    """update_bytes: of one update, the mean over clients and rounds."""

    compression: str
    update_bytes: float
    accuracy: float
    loss: float


def measure(*, clients: int, rounds: int, fraction: float) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        for number in range(1, clients + 1):
            share = ["--partition", "dirichlet:0.5", "--shard", f"{number}/{clients}", "--partition-seed", "1"]
            stack.agent(f"site-{number}", *share)
        stack.online(clients)
        return [_run(stack, name, clients, rounds, {"fraction": fraction}) for name in ENCODINGS]


def _run(stack: Stack, name: str, clients: int, rounds: int, wanted: dict[str, float]) -> Result:
    known = {option.name for option in ENCODINGS[name].options}
    session = stack.session(
        name=name,
        workload={"name": "digits"},
        rounds=rounds,
        quorum=clients,
        cohort_size=clients,
        round_seconds=SECONDS,
        compression={"name": name, "options": {key: value for key, value in wanted.items() if key in known}},
    )
    state = stack.ended(session, seconds=SECONDS)
    if state["status"] != "completed":
        raise SystemExit(f"The session {state['status']}: {state['reason']}")
    metrics = until(lambda: _last_model(stack, session)["metrics"], seconds=60, why="the evaluation of the last model")
    received = [event["payload"] for event in stack.events(session) if event["kind"] == "update.received"]
    sent = [payload["num_bytes"] for payload in received]
    return Result(name, statistics.mean(sent), metrics["accuracy"], metrics["loss"])


def _last_model(stack: Stack, session: str) -> Any:
    return stack.get(f"/sessions/{session}/models", limit=1000)["items"][-1]


def show(results: list[Result]) -> None:
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}\n")
    print("compression   bytes a client and round   ratio   accuracy    loss")
    for each in results:
        ratio = results[0].update_bytes / each.update_bytes
        print(f"{each.compression:<14}{each.update_bytes:>24,.0f}{ratio:>8.2f}{each.accuracy:>11.4f}{each.loss:>8.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--fraction", type=float, default=0.1)
    results = measure(**vars(parser.parse_args()))
    show(results)
    print(json.dumps([asdict(result) for result in results]))


if __name__ == "__main__":
    main()
