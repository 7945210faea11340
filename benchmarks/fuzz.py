"""Calls generated from the OpenAPI document (schemathesis): no answer is 5xx, and no status is undocumented.

    .venv/bin/python benchmarks/fuzz.py [--cases 5000] [--as anonymous|client|key] [--port 8100] [--seed 1]

Runs against a real server with a client, an open round and an ended session; without --as, there are three runs, one
after another. `--cases` is about the number of calls per run. All checks of schemathesis run except LEFT_OUT. The exit
status is that of the last run that found something, else 0.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.plain import PlainClient  # noqa: E402
from tests.e2e.stack import Stack, daphne  # noqa: E402

CALLERS = ("anonymous", "client", "key")
METHODS = ("get", "put", "post", "patch", "delete", "head")
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["4xx"]  # any refusal: a closed round is named before a wrong header
"""
LEFT_OUT = {  # checks, and why each makes no sense here
    "positive_data_acceptance": "whether a value is allowed depends on the data: names of workloads, ids",
    "ignored_auth": "it confuses a call with another credential with a call without one",
    "unsupported_method": "HEAD and OPTIONS are answered wherever GET and tus are",
}


def run(caller: str, cases: int, port: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), web=lambda _: daphne(port))
        stack.port, stack.url = port, f"http://127.0.0.1:{port}"
        try:
            stack.start()
            return _fuzz(stack, _headers(stack)[caller], cases, seed)
        finally:
            stack.stop()


def _headers(stack: Stack) -> dict[str, list[str]]:
    """The headers of each caller, after sessions and clients were made."""
    over, working = PlainClient(stack, "over", 10, 1), PlainClient(stack, "working", 10, 2)
    stack.post(f"/sessions/{stack.session(name='over', quorum=1)}/cancel")
    stack.session(name="open", quorum=1, cohort_size=2)
    for client in (over, working):
        client.work(wait=5)
    authorization = {
        "anonymous": None,
        "client": str(working.http.headers["Authorization"]),
        "key": str(stack.http.headers["Authorization"]),
    }
    return {who: ["--header", f"Authorization: {value}"] if value else [] for who, value in authorization.items()}


def _fuzz(stack: Stack, headers: list[str], cases: int, seed: int) -> int:
    document: dict[str, Any] = requests.get(f"{stack.url}/api/v1/openapi.json", timeout=30).json()
    operations = sum(method in METHODS for path in document["paths"].values() for method in path)
    each = str(max(1, cases // operations))
    config = stack.folder / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)]
    command += ["run", f"{stack.url}/api/v1/openapi.json"]
    command += ["--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--max-examples", each, "--seed", str(seed)]
    command += ["--request-timeout", "90", "--continue-on-failure", "--phases", "fuzzing", *headers]
    env = {"SCHEMATHESIS_HOOKS": "benchmarks.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=stack.folder, env=os.environ | env, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--as", dest="caller", choices=CALLERS)
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    status = 0
    for caller in [options.caller] if options.caller else CALLERS:
        print(f"\n==== as {caller}", flush=True)
        status = run(caller, options.cases, options.port, options.seed) or status
    return status


if __name__ == "__main__":
    sys.exit(main())
