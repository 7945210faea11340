"""Kill anything at any moment of a buffered session.

With one client and a quorum of one its models are the same byte for byte. With more the order of arrival decides what
a version is made of; then every accepted update counts once, and each model can be made again from its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import ENV, LARGE, NAMES, Outcome, outcome, settings, start
from tests.e2e.stack import Stack, running
from tests.e2e.test_schedules import assert_each_counts_once

SERVER = [
    (Point.EVENT_WRITTEN, 4),
    (Point.EVENT_COMMITTED, 4),
    (Point.DOWNLOAD_HALF_SENT, 2),
    (Point.METRICS_HALF_WRITTEN, 2),
    (Point.PART_HALF_WRITTEN, 4),
    (Point.UPDATE_STORED, 2),
    (Point.UPDATE_ACCEPTED, 2),
    (Point.ANSWER_LOST, 2),
    (Point.AGGREGATION_CLAIMED, 2),
    (Point.HALF_AGGREGATED, 2),
    (Point.AGGREGATED, 2),
    (Point.PUBLISHED, 1),
]
AGENT = [
    (Point.DOWNLOAD_HALF_READ, 1),
    (Point.TRAINING, 3),
    (Point.TRAINED, 1),
    (Point.UPDATE_KEPT, 1),
    (Point.PART_HALF_SENT, 2),
    (Point.REPORTED, 2),
]
BUFFERED = {"schedule": {"name": "buffered"}, "rounds": 3}
ALONE: dict[str, Any] = BUFFERED | {"quorum": 1, "cohort_size": 1}
TOGETHER: dict[str, Any] = BUFFERED | {"quorum": 2, "rounds": 4}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("alone"), env=ENV, killable=True) as stack:
        stack.agent("north", "--workload", "synthetic")
        stack.online(1)
        yield stack


@pytest.fixture(scope="module")
def undisturbed(alone: Stack) -> Outcome:
    return outcome(alone, alone.session(**settings(LARGE) | ALONE))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("together"), env=ENV, killable=True) as stack:
        for name in NAMES:
            stack.agent(name, "--workload", "synthetic")
        stack.online(len(NAMES))
        yield stack


def kill(stack: Stack, who: str, point: Point, time: int, change: dict[str, Any]) -> str:
    """Begin a session, in which somebody dies and is started again."""
    session = stack.session(start=False, **settings(LARGE) | change)
    stack.kill_at(who, point, time=time)
    start(stack, session)
    stack.died(who)
    if who == "web":
        stack.start("web")
    else:
        stack.agent(who, "--workload", "synthetic")
    return session


@pytest.mark.parametrize(("point", "time"), SERVER, ids=str)
def test_one_clients_models_are_the_same_whenever_the_server_is_killed(
    alone: Stack, undisturbed: Outcome, point: Point, time: int
):
    assert outcome(alone, kill(alone, "web", point, time, ALONE)) == undisturbed


@pytest.mark.parametrize(("point", "time"), AGENT, ids=str)
def test_and_whenever_its_agent_is(alone: Stack, undisturbed: Outcome, point: Point, time: int):
    assert outcome(alone, kill(alone, "north", point, time, ALONE)) == undisturbed


@pytest.mark.parametrize(("point", "time"), [*SERVER[5:], (Point.EVENT_COMMITTED, 9)], ids=str)
def test_every_update_counts_once_whenever_the_server_is_killed(together: Stack, point: Point, time: int):
    session = kill(together, "web", point, time, TOGETHER)
    assert together.ended(session)["status"] == "completed"
    assert_each_counts_once(together, session)


@pytest.mark.parametrize(("point", "time"), AGENT[2:], ids=str)
def test_and_whenever_an_agent_is(together: Stack, point: Point, time: int):
    session = kill(together, "south", point, time, TOGETHER)
    assert together.ended(session)["status"] == "completed"
    assert_each_counts_once(together, session)


def test_every_model_is_made_again_from_its_rows(together: Stack):
    """The last of the tests above have left sessions behind."""
    session = together.session(**settings(LARGE) | TOGETHER)
    together.ended(session)
    models = [one for one in together.get(f"/sessions/{session}/models", limit=1000)["items"] if one["version"]]
    for model in models:
        (file,) = together.folder.glob(f"weights/*/{model['digest']}*.safetensors")
        file.unlink()
    together.manage("check_storage", "--repair")
    assert "Every file is there" in together.manage("check_storage")
