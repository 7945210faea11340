"""The agent measures its phases by a clock that nobody sets."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent.api import Api
from clientagent.progress import Progress
from clientagent.stopwatch import Stopwatch
from tests.clientagent.fake_server import FakeServer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(*steps: tuple[float, str, float]) -> dict[str, float]:
    """Steps of (seconds that passed, phase, fraction)."""
    clock = Clock()
    watch = Stopwatch(clock)
    for seconds, phase, fraction in steps:
        clock.now += seconds
        watch.at(phase, fraction)
    return watch.seconds


def test_each_phase_has_the_time_of_its_steps():
    steps = [
        (0.01, "downloading", 0.0),
        (0.03, "downloading", 1.0),
        (0.01, "training", 0.0),
        (0.5, "training", 0.5),
        (0.4, "training", 1.0),
        (0.2, "evaluating", 1.0),
        (0.1, "uploading", 0.0),
    ]
    assert run(*steps) == {"downloading": 0.04, "training": 0.9, "evaluating": 0.3}


def test_work_that_was_trained_at_an_earlier_start_has_no_times():
    assert run((3.0, "uploading", 0.0), (5.0, "uploading", 1.0)) == {}


PHASES = st.sampled_from(["downloading", "training", "evaluating", "uploading"])


@given(st.lists(st.tuples(st.floats(0, 1000), PHASES, st.sampled_from([0.0, 0.5, 1.0])), max_size=20))
def test_no_time_is_counted_twice(steps):
    found = run(*steps)
    assert all(seconds >= 0 for seconds in found.values())
    assert sum(found.values()) <= sum(seconds for seconds, _, _ in steps) + 0.001


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("0.2.0", True),
        ("0.10.1", True),
        ("1.0", True),
        ("0.1.0", False),
        ("0.1.99", False),
        ("", False),
        ("x.y", False),
    ],
)
def test_only_a_newer_server_gets_timings_and_the_clients_time(api: Api, server: FakeServer, said, version, knows):
    seat = server.offer()
    api.server_version = version
    with Progress(api, "1", said.append) as progress:
        progress.at("training", 0.0)
        progress.points(1, {"loss": 1.0})
        progress.at("training", 1.0)
        progress.at("uploading", 0.0)
        progress.flush()
    (call,) = seat.calls
    assert ("sent_at" in call, "timings" in call) == (knows, knows)
    if knows:
        assert list(call["timings"]) == ["training"]
        assert call["sent_at"] >= call["metrics"][0]["time"]


def test_calls_during_the_work_carry_no_timings(api: Api, server: FakeServer, said, until, monkeypatch):
    monkeypatch.setattr("clientagent.progress.EVERY_SECONDS", 0.02)
    seat = server.offer()
    api.server_version = "0.2.0"
    with Progress(api, "1", said.append) as progress:
        progress.at("training", 0.0)
        until(lambda: seat.calls)
        progress.at("training", 1.0)
        progress.flush()
    assert "timings" not in seat.calls[0] and "sent_at" in seat.calls[0]
    assert "timings" in seat.calls[-1], json.dumps(seat.calls)


def test_waiting_for_a_worker_is_no_part_of_a_phase(api: Api, server: FakeServer, said):
    progress = Progress(api, "1", said.append)
    clock = Clock()
    progress._watch = Stopwatch(clock)

    def after(seconds: float, step: Callable[[], None]) -> None:
        clock.now += seconds
        step()

    progress.at("training", 0.0)
    after(1.0, progress.waits)
    after(20.0, progress.resumes)
    after(2.0, lambda: progress.at("training", 1.0))
    assert progress._watch.seconds == {"training": 3.0}
