"""A process dies at the point that a test names, and nowhere else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federation.killpoints import Point

ROOT = Path(__file__).parents[2]
THREE_TIMES = """
from federation.killpoints import Point, reached
for time in (1, 2, 3):
    print(time, flush=True)
    reached(Point.AGGREGATED)
"""


def run(file: Path | None) -> tuple[int, str]:
    env = {name: value for name, value in os.environ.items() if name != "FL_KILL_FILE"}
    env |= {} if file is None else {"FL_KILL_FILE": str(file)}
    done = subprocess.run([sys.executable, "-c", THREE_TIMES], cwd=ROOT, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout.split()[-1]


@pytest.mark.parametrize(("armed", "time"), [("", "1"), (":1", "1"), (":3", "3")])
def test_it_dies_at_its_point_and_the_point_is_taken_away(tmp_path, armed, time):
    file = tmp_path / "kill"
    file.write_text(f"{Point.AGGREGATED}{armed}")
    assert run(file) == (-signal.SIGKILL, time)
    assert not file.exists()


def test_it_passes_every_other_point(tmp_path):
    (tmp_path / "kill").write_text(Point.PUBLISHED)
    assert run(tmp_path / "kill") == (0, "3")
    assert run(tmp_path / "none") == (0, "3")


def test_without_the_variable_nothing_happens():
    assert run(None) == (0, "3")
