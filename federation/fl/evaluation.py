"""The evaluator's child process, which does what needs torch so that no server process imports it.

    python -m federation.fl.evaluation

Reads one JSON request a line, answers one JSON line each, in order, and ends with its input. Nothing
else is ever written to standard output. Requests:

    {"id", "do": "initial", "workload", "options", "seed", "out"}   -> {"id", "ok": true, "digest", "buffers"}
    {"id", "do": "evaluate", "workload", "options", "weights", "digest"}  -> {"id", "ok": true, "metrics"}
    {"id", "do": "convert", "weights", "out", "most_bytes"}         -> {"id", "ok": true, "digest", "buffers"}

and for whatever fails {"id", "ok": false, "error": a sentence}, with "damaged": true where the weights are
missing or do not fit their digest.
"""

import contextlib
import hashlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from federation.fl import weights, workloads
from federation.fl.files import uploaded
from federation.fl.options import OptionError
from federation.fl.weights import WeightsError

NICENESS = 5  # rounds go before evaluations


def initial(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write version 0 of a model; it depends on the workload, its options and the seed alone."""
    workload = workloads.get(request["workload"])
    digest = workload.write_initial(Path(request["out"]), request["options"], request["seed"])
    return {"digest": digest, "buffers": list(workload.buffers(request["options"]))}


def evaluate(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a model on the workload's held-out test set. A number that is not finite becomes None."""
    workload = workloads.get(request["workload"])
    _check_digest(Path(request["weights"]), request["digest"])
    found = workload.evaluate(weights.load(Path(request["weights"])), request["options"])
    return {"metrics": {name: value if math.isfinite(value) else None for name, value in found.items()}}


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write a state_dict of PyTorch as a model's file."""
    digest, buffers = uploaded.convert(Path(request["weights"]), Path(request["out"]), most_bytes=request["most_bytes"])
    return {"digest": digest, "buffers": buffers}


class Damaged(Exception):
    """The weights are not what they were when they were stored."""


def _check_digest(file: Path, digest: str) -> None:
    try:
        with file.open("rb") as handle:
            whole = hashlib.file_digest(handle, "sha256").hexdigest() == digest
    except OSError:
        whole = False
    if not whole:
        raise Damaged(f"{file.name} is damaged.")


JOBS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "initial": initial,
    "evaluate": evaluate,
    "convert": convert,
}


def answer(line: str) -> dict[str, Any]:
    """The answer to one line, whatever it holds."""
    request: Any = None
    more: dict[str, Any] = {}
    try:
        request = json.loads(line)
        return {"id": request["id"], "ok": True} | JOBS[request["do"]](request)
    except Damaged as error:
        sentence, more = str(error), {"damaged": True}
    except (OptionError, WeightsError) as error:
        sentence = str(error)
    except Exception as error:  # whatever a workload raises is its request's answer, and the next one is served
        sentence = f"{type(error).__name__}: {error}"
    return {"id": request.get("id") if isinstance(request, dict) else None, "ok": False, "error": sentence} | more


def main() -> None:
    # Ctrl-C in a terminal reaches the server's children too; this one ends when the server closes its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS)
    answers = _take_over_stdout()
    for line in sys.stdin:
        print(json.dumps(answer(line)), file=answers, flush=True)


def _take_over_stdout() -> TextIO:
    """A stream to the real standard output. What libraries print, compiled ones too, goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


if __name__ == "__main__":
    main()
