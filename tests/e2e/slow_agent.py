"""A real agent whose training takes until a file is there, and next to no work: only time is faked.

The environment's GO names the file (`Stack.slow_agents`). Until it is there, training tells a point every tenth of a
second; once it is there, training of the workload `synthetic` is as ever.
"""

import os
import runpy
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from federation.fl.workloads import Report, Stopped  # noqa: E402
from federation.fl.workloads.synthetic import Synthetic  # noqa: E402

GO = Path(os.environ["GO"])
MOST = 100_000  # steps, as it tells them
local_update = Synthetic.local_update


def slow(self: Synthetic, base: Any, data: Any, options: Any, config: Any, report: Report) -> Any:
    if GO.exists():
        return local_update(self, base, data, options, config, report)
    for step in count(1):
        if not report("training", step, MOST, {"train_loss": 1 / step}):
            raise Stopped
        if GO.exists():
            return local_update(self, base, data, options, config, lambda *_: True)
        time.sleep(0.1)


Synthetic.local_update = slow  # type: ignore[method-assign]
sys.argv[0] = str(ROOT / "clientagent" / "run.py")
runpy.run_path(sys.argv[0], run_name="__main__")
