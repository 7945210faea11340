"""Large sessions: what is left out of their curves, and what never is."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from dashboard.kit.parameters import Parameters
from dashboard.pages.session import curves
from dashboard.pages.session.curves import View
from federation.models import Client, Phase, TrainingSession
from federation.services.seats import progress
from federation.services.seats.progress import Point
from tests.dashboard.cast import seat_of, stream


def naive(values: list[float], weight: float) -> list[float]:
    """The definition, one value after the other."""
    mean, found = 0.0, []
    for n, value in enumerate(values, start=1):
        mean = weight * mean + (1 - weight) * value
        found.append(mean / (1 - weight**n))
    return found


@pytest.mark.parametrize("weight", [0.0, 0.6, 0.99])
@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_smoothing_is_the_bias_corrected_exponential_mean(weight: float, length: int) -> None:
    values = np.random.default_rng(1).normal(size=length)
    np.testing.assert_allclose(curves.smoothed(values, weight), naive(values.tolist(), weight), rtol=1e-9, atol=1e-12)


def test_thinning_keeps_the_lowest_the_highest_and_the_last_of_each_stretch() -> None:
    values = np.array([3.0, 9.0, 1.0, 4.0, 5.0, 5.0, 7.0, 6.0])
    assert curves.thin(values, np.zeros(8, np.int64), 4).tolist() == [1, 2, 3, 4, 6, 7]


def test_thinning_keeps_a_gap_and_never_joins_two_curves() -> None:
    values = np.array([1.0, np.nan, 2.0, 8.0, 7.0])
    curve = np.array([0, 0, 0, 1, 1])
    assert curves.thin(values, curve, 10).tolist() == [0, 1, 2, 3, 4]
    assert curves.thin(np.full(5, np.nan), curve, 10).tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("total", [1, 7, 100, 317, 10_000, 123_457])
def test_the_length_of_a_seats_work_is_estimated_from_where_it_is(total: int) -> None:
    for last in {max(1, total // 10), max(1, total // 3), total}:
        assert curves.estimated(last, last / total) == pytest.approx(total, rel=0.008)
        assert curves.estimated(last, last / total) >= last


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything above 20 points is large."""
    monkeypatch.setattr(curves, "WHOLE", 20)
    monkeypatch.setattr(curves, "DRAWN", 15)


def test_what_lies_between_0_and_1_is_told_by_its_declared_unit(running: TrainingSession) -> None:
    assert curves.of(running, View())["shares"] == ["accuracy"]
    declared = [
        {"name": "dice", "unit": "share"},
        {"name": "accuracy", "unit": "points"},
        {"name": "mae", "unit": "mm"},
    ]
    running.workload, running.declaration = "chest", {"measures": declared}
    assert curves.of(running, View())["shares"] == ["dice"]


def test_measures_are_called_by_their_declared_titles(running: TrainingSession) -> None:
    declared = [{"name": "p10", "title": "Tenth percentile"}, {"name": "accuracy", "title": "Share of right answers"}]
    running.workload, running.declaration = "chest", {"measures": declared}
    phrases = curves.measure_phrases(running)
    assert (phrases["p10"], phrases["accuracy"]) == ("tenth percentile", "share of right answers")
    assert phrases["loss"] == "loss", "of those that are known anyway"


def test_every_metric_of_any_client_can_be_chosen(running: TrainingSession) -> None:
    assert curves.of(running, View())["names"] == []
    stream(running, "anna", [1.0], metric="train_loss")
    stream(running, "ben", [0.5], metric="val_accuracy")
    stream(running, "ben", [0.5], metric="a loss")
    assert curves.of(running, View())["names"] == ["a loss", "train_loss", "val_accuracy"]


WAVE = [10.0, 3.0, 50.0, 4.0, 2.0, 6.0] * 5


def test_a_large_session_is_thinned_and_says_so(running: TrainingSession, small_limits: None) -> None:
    stream(running, "anna", [*WAVE, -1.0], fraction=0.5)
    found = curves.of(running, View())
    [seat] = found["seats"]
    steps, values, times, smooth = seat["series"]["train_loss"]
    assert found["thinned"] and found["metric"] == "train_loss" and found["names"] == ["train_loss"]
    assert len(steps) < 31 and times is None
    assert (min(values), max(values), steps[-1], seat["counts"]["train_loss"]) == (-1.0, 50.0, 31, 31)
    expected = naive([*WAVE, -1.0], 0.6)
    assert smooth == pytest.approx([expected[step - 1] for step in steps])


def test_what_one_zooms_into_comes_in_full(running: TrainingSession, small_limits: None) -> None:
    stream(running, "anna", WAVE, fraction=1.0)
    found = curves.of(running, View(span=(0.5, 0.7)))
    [seat] = found["seats"]
    assert seat["series"]["train_loss"][0] == list(range(14, 23))  # steps 15 to 21, and one more at both ends


def test_values_that_are_not_finite_are_gaps_in_a_large_session(running: TrainingSession, small_limits: None) -> None:
    stream(running, "anna", [None, *WAVE], fraction=0.5)
    [seat] = curves.of(running, View())["seats"]
    steps, values, _, smooth = seat["series"]["train_loss"]
    assert (steps[0], values[0], smooth[0]) == (1, None, None)


def test_a_thousand_clients_are_known_before_they_take_part(running: TrainingSession) -> None:
    made = [
        Client(name=f"sim-{n:04}", name_key=f"sim-{n:04}", token_hash=f"{n:064}", ordinal=100 + n) for n in range(1000)
    ]
    Client.objects.bulk_create(made)
    known = {client["name"]: client for client in curves.of(running, View())["clients"]}
    assert {"anna", "ben", *(client.name for client in made)} <= known.keys()
    assert known["sim-0999"] == {"id": str(made[-1].pk), "name": "sim-0999", "ordinal": 1099}


def test_no_json_is_read_of_seats_and_their_clients(running: TrainingSession) -> None:
    stream(running, "anna", [1.0])
    with CaptureQueriesContext(connection) as queries:
        curves.of(running, View())
    (seats,) = [one["sql"] for one in queries if 'FROM "federation_participation" INNER JOIN' in one["sql"]]
    assert all(column not in seats for column in ('"info"', '"metrics"', '"timings"', '"flags"'))


def test_only_the_clients_that_are_asked_for_are_sent(running: TrainingSession, small_limits: None) -> None:
    for name in ("anna", "ben"):
        stream(running, name, WAVE, fraction=0.5)
    all_of_it = curves.of(running, View(timed=True))
    assert len(all_of_it["seats"]) == 2
    one = all_of_it["seats"][0]
    assert all(at >= all_of_it["start"] - 1 for at in one["series"]["train_loss"][2])
    [seat] = curves.of(running, View(clients=frozenset([int(one["client"])])))["seats"]
    assert seat["client"] == one["client"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, View()),
        ({"smooth": "0.9", "from": "1", "to": "2.5", "clients": "7,8", "timed": "1", "metric": "val_loss"},
         View("val_loss", 0.9, (1.0, 2.5), frozenset([7, 8]), True)),
        ({"smooth": "1", "from": "nan", "to": "2", "clients": "x,,9" + "9" * 30}, View()),
    ],
)  # fmt: skip
def test_what_makes_no_sense_counts_as_not_said(asked: dict[str, str], expected: View) -> None:
    assert curves.view_of(Parameters(asked)) == expected


def test_the_browser_gets_what_it_asks_for(
    browser: Browser, running: TrainingSession, small_limits: None, enrol: Callable[..., object]
) -> None:
    stream(running, "anna", WAVE, fraction=0.5)
    address = reverse("session_points", args=[running.pk])
    assert browser.get(address, {"metric": "train_loss", "smooth": "0"}).json()["thinned"] is True
    assert browser.get(address, {"metric": "nothing", "smooth": "no"}).json()["metric"] == "train_loss"


@pytest.mark.parametrize("step", [0, 2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("fraction", [0.0, 5e-324, 0.5, 1.0])
def test_a_lone_point_at_any_step_is_drawn_beside_the_curves_of_others(
    browser: Browser, running: TrainingSession, step: int, fraction: float
) -> None:
    stream(running, "anna", [2.0, 1.0])
    seat = seat_of(running, "ben")
    point = Point("train_loss", step, 1.0, timezone.now())
    progress.report(seat, phase=Phase.TRAINING, fraction=fraction, points=[point], now=timezone.now())
    seats = browser.get(reverse("session_points", args=[running.pk])).json()["seats"]
    assert [seat["series"]["train_loss"][1] for seat in seats] == [[2.0, 1.0], [1.0]]
    assert all(math.isfinite(seat["steps"]) for seat in seats)
