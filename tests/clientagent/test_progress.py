"""Points reach the server in batches, off the training thread, and the server's answer stops the work."""

import math
import threading
import time
from itertools import pairwise

import pytest

from clientagent.api import Api
from clientagent.errors import Dropped
from clientagent.progress import Progress
from tests.clientagent.fake_server import FakeServer, Seat, status


@pytest.fixture
def seat(server: FakeServer) -> Seat:
    return server.offer()


@pytest.fixture
def progress(api: Api, seat: Seat, said):
    return Progress(api, "1", said.append)


def test_points_come_in_batches_about_once_a_second(progress: Progress, seat: Seat):
    with progress:
        end, step = time.monotonic() + 2.6, 0
        while time.monotonic() < end:
            step += 1
            progress.points(step, {"train_loss": 1 / step})
            progress.at("training", 0.5)
            time.sleep(0.005)
        progress.flush()
    assert sorted(seat.values("train_loss")) == list(range(1, step + 1))
    gaps = [later - earlier for earlier, later in pairwise(seat.times[:-1])]  # the last one is the flush
    assert 3 <= len(seat.times) <= 5 and all(gap > 0.9 for gap in gaps)


def test_training_does_not_wait_for_an_absent_server(progress: Progress, server: FakeServer, seat: Seat, until):
    with progress:
        progress.at("training", 0.0)
        until(lambda: seat.calls)
        server.away()
        began = time.monotonic()
        for step in range(1, 20_001):
            progress.points(step, {"train_loss": 0.5})
            progress.at("training", 0.5)
        assert time.monotonic() - began < 10
        threading.Timer(0.2, server.back).start()
        progress.flush()
    assert len(seat.points) == 20_000
    assert max(len(call["metrics"]) for call in seat.calls) == 1000


def test_a_point_tells_name_step_value_and_when(progress: Progress, seat: Seat):
    progress.points(1, {"train_loss": 0.25, "accuracy": 1.0})
    progress.flush()
    loss, accuracy = seat.points
    assert (loss["name"], loss["step"], loss["value"]) == ("train_loss", 1, 0.25)
    assert loss["time"].startswith("20") and loss["time"].endswith("Z")
    assert accuracy["name"] == "accuracy"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null(progress: Progress, seat: Seat, value: float):
    progress.points(1, {"train_loss": value})
    progress.flush()
    assert seat.values("train_loss") == {1: None}


def test_the_phase_comes_without_points_too(progress: Progress, seat: Seat, until):
    with progress:
        progress.at("downloading", 0.25)
        until(lambda: seat.calls)
    assert (seat.calls[0]["phase"], seat.calls[0]["fraction"], seat.calls[0]["metrics"]) == ("downloading", 0.25, [])


@pytest.mark.parametrize("fraction", [-0.1, 1.2])
def test_a_fraction_stays_one(progress: Progress, seat: Seat, fraction: float):
    progress.at("training", fraction)
    progress.flush()
    assert seat.calls[0]["fraction"] in (0.0, 1.0)


def test_silence_is_broken_by_a_heartbeat(progress: Progress, seat: Seat, until, monkeypatch):
    monkeypatch.setattr("clientagent.progress.HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr("clientagent.progress.EVERY_SECONDS", 0.05)
    with progress:
        until(lambda: len(seat.calls) >= 4)


def test_what_waits_for_a_worker_says_nothing_until_it_goes_on(progress: Progress, seat: Seat, until, monkeypatch):
    monkeypatch.setattr("clientagent.progress.EVERY_SECONDS", 0.02)
    progress.waits()
    with progress:
        progress.points(1, {"train_loss": 0.5})
        time.sleep(0.2)
        assert seat.calls == []
        progress.resumes()
        until(lambda: seat.points)


def test_what_waits_for_a_worker_sends_heartbeats(progress: Progress, seat: Seat, until, monkeypatch):
    monkeypatch.setattr("clientagent.progress.HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr("clientagent.progress.EVERY_SECONDS", 0.02)
    progress.waits()
    with progress:
        until(lambda: len(seat.calls) >= 3)


def test_continue_false_stops_the_work_at_its_next_step(progress: Progress, seat: Seat, until):
    seat.goes_on = False
    with progress:
        until(progress.dropped.is_set)
        with pytest.raises(Dropped, match="The server no longer needs this work"):
            progress.at("training", 0.5)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_so_does_a_seat_that_is_gone(progress: Progress, server: FakeServer, code: int, until):
    server.script("POST", "/progress", status(code, "It is gone."))
    with progress:
        until(progress.dropped.is_set)
        with pytest.raises(Dropped, match="It is gone"):
            progress.at("training", 0.5)


def test_points_that_are_refused_are_told_and_cost_nothing_else(progress: Progress, server: FakeServer, seat, said):
    server.script("POST", "/progress", status(422, "A name is too long."))
    progress.points(1, {"x" * 100: 1.0})
    progress.flush()
    progress.points(2, {"train_loss": 1.0})
    progress.flush()
    assert said == ["The server does not accept the points of this work: A name is too long."]
    assert seat.values("train_loss") == {2: 1.0}


def test_the_end_of_the_work_ends_the_thread_though_the_server_is_away(progress: Progress, server, until, said):
    with progress:
        server.away()
        until(lambda: said)
        began = time.monotonic()
    assert time.monotonic() - began < 1.9  # of the two seconds that it would be waited for
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_what_has_no_answer_yet_is_unconfirmed_and_sent_again_by_a_later_start(
    api: Api, server: FakeServer, seat: Seat, progress: Progress, said, until
):
    asked, answered = threading.Event(), threading.Event()

    def wait(handler) -> None:
        asked.set()
        answered.wait(60)
        status(503)(handler)

    server.script("POST", "/progress", wait)
    with progress:
        progress.points(1, {"train_loss": 0.5})
        until(asked.is_set)
        progress.points(2, {"train_loss": 0.25})
        left = progress.unconfirmed()
        answered.set()
    assert [point["step"] for point in left] == [1, 2]
    later = Progress(api, "1", said.append)
    later.send_again(left)
    later.flush()
    assert seat.values("train_loss") == {1: 0.5, 2: 0.25} and later.unconfirmed() == []
