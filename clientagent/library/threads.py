"""How many threads a script's libraries compute with, if --threads says so."""

from __future__ import annotations

import os
import sys

from clientagent.errors import Misconfigured

VARIABLE = "OMP_NUM_THREADS"  # NumPy and PyTorch read it when they are imported


def use(count: int) -> None:
    """Have PyTorch and NumPy compute with so many threads. Raises Misconfigured if it is too late for NumPy alone.

    NumPy can only be told by threadpoolctl, which scikit-learn brings.
    """
    torch, pools = sys.modules.get("torch"), sys.modules.get("threadpoolctl")
    if torch is not None:
        torch.set_num_threads(count)
    if pools is not None:
        pools.threadpool_limits(count)
    if torch is None and pools is None and os.environ.get(VARIABLE) != str(count):
        raise Misconfigured(
            f"--threads {count}: NumPy has chosen its threads already. Start the script with {VARIABLE}={count} in its "
            f"environment, or let run.py start it: run.py ... --threads {count} -- python train.py."
        )
