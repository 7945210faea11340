"""The client agent, with its steps timed: python benchmarks/timed_agent.py TIMINGS <arguments of clientagent/run.py>.

Appends a JSON line to TIMINGS for each piece of work: when it began and the seconds of each step.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, time
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from clientagent import cli, models, upload  # noqa: E402
from clientagent.kinds import training  # noqa: E402

TIMINGS = Path(sys.argv.pop(1))
steps: dict[str, float] = {}


def timed(owner: Any, name: str, step: str) -> None:
    """Replace a function of `owner` by itself with its seconds noted under `step`."""
    function: Callable[..., Any] = getattr(owner, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            steps[step] = steps.get(step, 0.0) + perf_counter() - began

    setattr(owner, name, measured)


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece of work that leaves a line behind."""

    def measured(self: Any, body: Any) -> Any:
        steps.clear()
        began = time()
        try:
            return function(self, body)
        finally:
            with TIMINGS.open("a") as file:
                file.write(json.dumps({"round": body["round"], "began": began} | steps) + "\n")

    return measured


timed(models.ModelCache, "fetch", "download")
timed(training.Trainer, "update", "client")
timed(upload, "send", "upload")
training.Training.do = noted(training.Training.do)  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(cli.main())
