"""The client agent with a pace: benchmarks/paced_agent.py TIMINGS SECONDS CHANCE <arguments of clientagent/run.py>.

Its training takes SECONDS longer, and with a probability of CHANCE ten times as much (a straggler, drawn by the seed
of the work). Appends a JSON line to TIMINGS for each piece of work: its round, when it began and when it ended.
"""

import json
import sys
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])

from clientagent import cli  # noqa: E402
from clientagent.kinds import training  # noqa: E402

TIMINGS, SECONDS, CHANCE = Path(sys.argv.pop(1)), float(sys.argv.pop(1)), float(sys.argv.pop(1))
SLICE = 0.02  # seconds between two looks at whether the work is still wanted

_update = training.Trainer.update
_do = training.Training.do


def paced(self: Any, work: Any, base: Any, out: Any, report: Any, *more: Any) -> str:
    straggles = np.random.default_rng(int(work.config["seed"])).random() < CHANCE
    end = monotonic() + SECONDS * (10 if straggles else 1)
    while monotonic() < end:
        report("training", 0, 1, {})
        sleep(SLICE)
    return _update(self, work, base, out, report, *more)


def noted(self: Any, body: Any) -> None:
    began = time()
    try:
        _do(self, body)
    finally:
        with TIMINGS.open("a") as file:
            file.write(json.dumps({"round": body["round"], "began": began, "ended": time()}) + "\n")


training.Trainer.update = paced  # type: ignore[method-assign,assignment]
training.Training.do = noted  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(cli.main())
