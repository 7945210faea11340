"""The evaluator's child process, which does what needs torch so that no server process imports it.

    python -m federation.fl.evaluation

Reads one JSON request a line, answers one JSON line each, in order, and ends with its input. Nothing
else is ever written to standard output. Requests:

    {"id", "do": "initial", "workload", "options", "seed", "out"}   -> {"id", "ok": true, "digest", "buffers"}
    {"id", "do": "evaluate", "workload", "options", "weights", "digest"}  -> {"id", "ok": true, "metrics"}
    {"id", "do": "convert", "weights", "out", "most_bytes"}         -> {"id", "ok": true, "digest", "buffers"}
    {"id", "do": "declare", "place"}      -> {"id", "ok": true, "declaration", "revision", "accepts"}

and for whatever fails {"id", "ok": false, "error": a sentence}, with "damaged": true where the weights are
missing or do not fit their digest. "initial" and "evaluate" have a "place" where the workload is a foreign one, see
`workloads.foreign`; its code is imported here and in no server process. "unusable": true says that it gave none.
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
from federation.fl.workloads import Workload, declaration, foreign
from federation.fl.workloads.foreign import Place, Unusable

NICENESS = 5  # rounds go before evaluations


def initial(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write version 0 of a model; it depends on the workload, its options and the seed alone."""
    workload = _workload(request)
    digest = workload.write_initial(Path(request["out"]), request["options"], request["seed"])
    return {"digest": digest, "buffers": list(workload.buffers(request["options"]))}


def evaluate(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a model on the workload's held-out test set. A number that is not finite becomes None."""
    workload = _workload(request)
    _check_digest(Path(request["weights"]), request["digest"])
    found = workload.evaluate(weights.load(Path(request["weights"])), request["options"])
    return {"metrics": {name: value if math.isfinite(value) else None for name, value in found.items()}}


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write a state_dict of PyTorch as a model's file."""
    digest, buffers = uploaded.convert(Path(request["weights"]), Path(request["out"]), most_bytes=request["most_bytes"])
    return {"digest": digest, "buffers": buffers}


def declare(request: Mapping[str, Any]) -> dict[str, Any]:
    """Import a foreign workload, and tell what it declares."""
    workload = _foreign(Place(**request["place"]))
    told = declaration.of(workload).to_json()
    return {"declaration": told, "revision": workload.revision, "accepts": list(workload.accepts)}


def _workload(request: Mapping[str, Any]) -> Workload:
    if "place" not in request:
        return workloads.get(request["workload"])
    place = Place(**request["place"])
    workload = _foreign(place)
    if workload.name != request["workload"]:
        raise OptionError("name", f"{place} now has the workload {workload.name!r}, not {request['workload']!r}.")
    return workload


_imported: dict[Place, Workload] = {}


def _foreign(place: Place) -> Workload:
    """The workload of a place, imported once as long as its source stays the same.

    A package that was replaced ends this process: what it imported cannot be imported again. The next process has
    the new one.
    """
    known = _imported.get(place)
    if known is not None and foreign.source_now(place) == known.digest():
        return known
    if known is not None and place.package:
        raise SystemExit(f"{place} was replaced.")
    _imported[place] = foreign.load(place).workload
    return _imported[place]


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
    "declare": declare,
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
    except Unusable as error:
        sentence, more = str(error), {"unusable": True}
    except (OptionError, WeightsError) as error:
        sentence = str(error)
    except Exception as error:  # whatever a workload raises is its request's answer, and the next one is served
        sentence = _sentence(request, error)
    return {"id": request.get("id") if isinstance(request, dict) else None, "ok": False, "error": sentence} | more


def _sentence(request: Any, error: Exception) -> str:
    """With the line, where the code of a foreign workload raised it."""
    if isinstance(request, dict) and isinstance(request.get("place"), dict):
        return f"{foreign.sentence_of(error, Place(**request['place']))}."
    return f"{type(error).__name__}: {error}"


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
