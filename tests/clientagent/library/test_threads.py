"""--threads of a script: its libraries compute with so many, or it hears how to have them do so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.clientagent.test_process import ROOT

FROM_THE_FLAG = "list(clientagent.works('toy', arguments=['--threads', '3']))"
REFUSED = (
    "toy: --threads 3: NumPy has chosen its threads already. Start the script with OMP_NUM_THREADS=3 in its "
    "environment, or let run.py start it: run.py ... --threads 3 -- python train.py.\n"
)


def ended(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script of its own, with the libraries' usual number of threads unless the environment says another one."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    env = bare | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("library", "number"),
    [
        ("torch", "torch.get_num_threads()"),
        ("threadpoolctl", "max(pool['num_threads'] for pool in threadpoolctl.threadpool_info())"),
    ],
)
def test_a_library_that_can_be_told_computes_with_so_many(library: str, number: str):
    code = f"import {library}; from clientagent.library import threads; threads.use(3); print({number})"
    assert ended(code).stdout == "3\n"


def test_the_flag_of_a_script_is_obeyed_before_it_joins():
    code = f"import torch, clientagent\ntry:\n    {FROM_THE_FLAG}\nfinally:\n    print(torch.get_num_threads())"
    done = ended(code)
    assert (done.returncode, done.stdout) == (2, "3\n"), done.stderr
    assert "--threads" not in done.stderr and "--server" in done.stderr, "only the server's address is missing"


def test_a_script_with_numpy_alone_hears_what_to_set():
    done = ended(f"import clientagent; {FROM_THE_FLAG}")
    assert (done.returncode, done.stderr) == (2, REFUSED)


def test_with_the_variable_set_before_there_is_nothing_to_say():
    done = ended(f"import clientagent; {FROM_THE_FLAG}", OMP_NUM_THREADS="3")
    assert done.returncode == 2 and "--threads" not in done.stderr and "--server" in done.stderr
