"""A session of a workload that only sites have begins with the weights of one of them, also if that one is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import settings
from tests.e2e.stack import ROOT, Stack, running

ONLY_HERE = """
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.synthetic import Synthetic

class OnlyHere(Synthetic):
    name = "only_here"

    def digest(self):
        return "d" * 64

WORKLOADS["only_here"] = OnlyHere()
"""
RENAME = """
from federation.models import TrainingSession
TrainingSession.objects.filter(pk={}).update(workload="only_here", workload_digest="d" * 64)
"""


@pytest.fixture
def stack(tmp_path: Path):
    """Its agents, but not its server, have one more workload."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ONLY_HERE)
    with running(tmp_path / "data", killable=True) as stack:
        stack.warm = False  # from here on: a forked process reads no sitecustomize
        stack.env["PYTHONPATH"] = f"{tmp_path / 'site'}:{ROOT}"
        for name in ("north", "south"):
            stack.agent(name, "--workload", "only_here")
        stack.online(2)
        yield stack


def test_version_0_comes_from_a_site_that_is_killed_and_started_again(stack: Stack):
    asked = settings(1000) | {"quorum": 2, "cohort_size": 2}
    session = stack.session(start=False, **asked)
    stack.shell(RENAME.format(session))
    stack.kill_at("north", Point.INITIAL_KEPT)
    assert stack.post(f"/sessions/{session}/start").status_code == 200
    stack.died("north")
    stack.agent("north", "--workload", "only_here")
    assert stack.ended(session)["status"] == "completed"
    (made,) = stack.get(f"/sessions/{session}/rounds", kind="initialise")["items"]
    assert [(seat["client"]["name"], seat["status"]) for seat in made["participations"]] == [("north", "aggregated")]
    assert "made before; sending the model that was kept" in (stack.folder / "north.log").read_text()
    assert len(stack.get(f"/sessions/{session}/models")["items"]) == 3
