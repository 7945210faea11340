"""Large updates are written over older ones. Kills leave the same models: nothing of what a file was before is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import Outcome, outcome, start
from tests.e2e.stack import Stack, running

NAMES = ("north", "south")
SESSION: dict[str, Any] = {
    "workload": {"name": "synthetic", "options": {"num_parameters": 2_500_000}},
    **{"rounds": 5, "seed": 7, "quorum": 2, "cohort_size": 2},
}
ENV = {"FL_KEEP_UPDATES": "1", "FL_PART_BYTES": str(3 << 20)}  # so that the third round writes over the first one's
# From the third round on: an update of 10 MB comes in about 40 pieces.
KILLED = [
    ("web", Point.PART_HALF_WRITTEN, 250),
    ("web", Point.UPDATE_STORED, 6),
    ("web", Point.GIVEN_UP, 2),
    ("south", Point.PART_HALF_SENT, 35),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("spare"), env=ENV, killable=True) as stack:
        for name in NAMES:
            stack.agent(name, "--workload", "synthetic")
        stack.online(len(NAMES))
        yield stack


@pytest.fixture(scope="module")
def undisturbed(site: Stack) -> Outcome:
    return outcome(site, site.session(**SESSION))


def test_files_of_updates_are_used_again(site: Stack, undisturbed: Outcome):
    """Each of four rounds gave two files up, and all but the last two were taken."""
    assert len(list(site.folder.glob("uploads/*.spare"))) == len(NAMES)
    assert list(site.folder.glob("uploads/*.part")) == []
    assert "Every file is there" in site.manage("check_storage")


@pytest.mark.parametrize(("name", "point", "time"), KILLED, ids=str)
def test_the_server_or_an_agent_is_killed(site: Stack, undisturbed: Outcome, name: str, point: Point, time: int):
    session = site.session(start=False, **SESSION)
    site.kill_at(name, point, time=time)
    start(site, session)
    site.died(name)
    if name == "web":
        site.start(name)
    else:
        site.agent(name, "--workload", "synthetic")
    assert outcome(site, session) == undisturbed
