"""The evaluator's child process: `python -m federation.fl.evaluation`.

Reads one JSON request a line, answers one JSON line each, in order, and ends with its input. Nothing else
is ever written to standard output. Requests:

    {"id", "do": "initial", "workload", "options", "seed", "out"}   -> {"id", "ok": true, "digest"}
    {"id", "do": "evaluate", "workload", "options", "weights"}      -> {"id", "ok": true, "metrics"}

and for whatever fails {"id", "ok": false, "error": a sentence}.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from federation.fl import weights, workloads

NICENESS = 5  # rounds go before evaluations


def initial(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write version 0 of a model; it depends on the workload, its options and the seed alone."""
    workload = workloads.get(request["workload"])
    return {"digest": workload.write_initial(Path(request["out"]), request["options"], request["seed"])}


def evaluate(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a model on the workload's held-out test set. A number that is not finite is left out."""
    workload = workloads.get(request["workload"])
    found = workload.evaluate(weights.load(Path(request["weights"])), request["options"])
    return {"metrics": {name: value for name, value in found.items() if math.isfinite(value)}}


JOBS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"initial": initial, "evaluate": evaluate}


def answer(line: str) -> dict[str, Any]:
    """The answer to one request."""
    request = json.loads(line)
    try:
        return {"id": request["id"], "ok": True} | JOBS[request["do"]](request)
    except Exception as error:  # whatever a workload raises is its request's answer, and the next one is served
        return {"id": request.get("id"), "ok": False, "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    out = sys.stdout
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
    with suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with redirect_stdout(sys.stderr):  # libraries print too
        for line in sys.stdin:
            print(json.dumps(answer(line)), file=out, flush=True)


if __name__ == "__main__":
    main()
