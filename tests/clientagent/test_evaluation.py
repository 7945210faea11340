"""A stored model is measured on the site's held-out data, and the numbers arrive once, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from clientagent import agent as agents
from clientagent.data import SiteData
from clientagent.settings import Settings
from federation.fl import weights, workloads
from federation.fl.workloads import LocalEvaluation, TrainConfig
from federation.fl.workloads.training import TorchWorkload, split
from tests.clientagent.fake_server import FakeServer, Seat, cut, lost, plainly, status
from tests.clientagent.sites import Site

DIGITS = {"workload": "digits", "samples": 60}


def offered(server: FakeServer, **changes: object) -> Seat:
    return server.offer("digits", kind="evaluate", **changes)


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """How many models were measured; nothing is, but for what is counted."""
    calls: list[int] = []

    def count(*arguments: object) -> LocalEvaluation:
        calls.append(1)
        return LocalEvaluation(12, {"loss": 0.25, "accuracy": float("nan")}, {"confusion": [[7, 0], [1, 4]]})

    monkeypatch.setattr(TorchWorkload, "local_evaluation", count)
    return calls


def test_a_model_is_measured_on_the_held_out_examples_and_nothing_is_uploaded(site: Site, server: FakeServer):
    seat = offered(server)
    said = site.run(**DIGITS)
    _, held_out = split(SiteData(Settings(samples=60)).of(workloads.get("digits"), {}), 0.2)
    assert seat.status == "reported" and seat.result is not None
    assert seat.result["num_examples"] == len(held_out) > 0
    assert seat.result["metrics"].keys() == {"loss", "accuracy"} and "counts" not in seat.result
    assert not server.requests("PUT", "") and not server.requests("PATCH", "")
    assert f"Evaluating version 0 of first: result accepted ({len(held_out)} examples, accuracy 0." in said


def test_the_numbers_are_those_of_the_update_s_received_model(site: Site, server: FakeServer):
    trained, seat = server.offer("digits"), offered(server)
    site.run(**DIGITS)
    site.run(**DIGITS)
    received = {name: trained.values(f"base_val_{name}")[0] for name in ("loss", "accuracy")}
    assert seat.result is not None and seat.result["metrics"] == received


def test_counts_say_how_many_examples_a_label_has_and_go_only_where_the_owner_shares_that(
    site: Site, server: FakeServer
):
    seat = offered(server)
    site.run(**DIGITS, share_histogram=True)
    assert seat.result is not None
    matrix = seat.result["counts"]["confusion"]
    assert len(matrix) == 10 and sum(map(sum, matrix)) == seat.result["num_examples"]
    right = sum(matrix[label][label] for label in range(10))
    assert right / seat.result["num_examples"] == seat.result["metrics"]["accuracy"]


def test_the_server_hears_of_it_and_how_long_each_phase_took(site: Site, server: FakeServer):
    seat = offered(server)
    site.run(**DIGITS)
    assert {call["phase"] for call in seat.calls} <= {"downloading", "evaluating"}
    assert seat.calls[-1]["timings"].keys() == {"downloading", "evaluating"}
    assert seat.points == []


def test_a_number_that_is_not_finite_is_null(site: Site, server: FakeServer, measured: list[int]):
    seat = offered(server)
    assert "accuracy not finite" in site.run(**DIGITS)
    assert seat.result == {"num_examples": 12, "metrics": {"loss": 0.25, "accuracy": None}}


@pytest.mark.parametrize("action", [cut, lost, status(503)])
def test_a_result_whose_answer_is_missing_is_sent_again_and_measured_once(
    site: Site, server: FakeServer, measured: list[int], action
):
    seat = offered(server)
    server.script("POST", "/result", action)
    site.run(**DIGITS)
    sent = server.requests("POST", "/result")
    assert seat.status == "reported" and len(sent) == 2 and len(measured) == 1


def test_a_kept_result_is_sent_after_a_kill_and_not_measured_again(
    site: Site, server: FakeServer, measured: list[int], monkeypatch
):
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    seat = offered(server)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("clientagent.api.Api.result", die)
        site.run(**DIGITS)
    assert seat.status == "open"
    assert "measured before; sending the result that was kept" in site.run(**DIGITS)
    assert seat.status == "reported" and len(measured) == 1
    assert [path.name for path in (site.folder / "updates").iterdir()] == ["update.tmp"]


def test_a_result_of_another_model_is_not_taken_for_this_one_s(site: Site, server: FakeServer, measured: list[int]):
    offered(server)
    site.run(**DIGITS)
    seat = offered(server)
    site.run(**DIGITS)
    assert seat.status == "reported" and len(measured) == 2


@pytest.mark.parametrize("code", [403, 404, 409, 410])
def test_a_result_that_is_no_longer_wanted_is_dropped(site: Site, server: FakeServer, measured: list[int], code: int):
    offered(server)
    server.script("POST", "/result", status(code, "The evaluation has closed."))
    assert "Dropped: The evaluation has closed." in site.run(**DIGITS)
    assert not server.requests("POST", "/fail")


def test_a_result_that_the_server_finds_invalid_fails_with_its_sentence(
    site: Site, server: FakeServer, measured: list[int]
):
    seat = offered(server)
    server.script("POST", "/result", status(422, "num_examples is not an integer."))
    site.run(**DIGITS)
    assert (seat.status, seat.reason) == ("failed", "num_examples is not an integer.")


def test_a_stranger_s_success_is_not_taken_for_an_answer(site: Site, server: FakeServer, measured: list[int]):
    from tests.clientagent.fake_server import html, stranger

    seat = offered(server)
    server.script("POST", "/result", stranger(204), html(200), html(403))
    site.run(**DIGITS)
    assert seat.status == "reported" and len(server.requests("POST", "/result")) == 4


def test_a_site_without_held_out_examples_says_so(site: Site, server: FakeServer):
    seat = offered(server)
    site.run(workload="digits", samples=1)
    assert seat.reason == "There is no held-out example to evaluate on: this site has one example."


def test_what_fails_in_a_workload_costs_the_seat_and_the_agent_goes_on(
    site: Site, server: FakeServer, monkeypatch, until: Callable[..., None]
):
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(TorchWorkload, "local_evaluation", broken)
    monkeypatch.setattr(agents, "AGAIN_SECONDS", 0.0)
    seat = offered(server)
    with site.running():
        until(lambda: seat.status == "failed")
        after = server.offer()
        until(lambda: after.status == "reported")
    assert seat.reason == "RuntimeError: CUDA out of memory"


def test_a_workload_that_measures_nothing_is_given_up_with_the_reason(site: Site, server: FakeServer):
    seat = server.offer("synthetic", kind="evaluate")
    site.run()
    assert seat.reason == "The workload 'synthetic' has nothing to measure at a site."
    assert not server.requests("GET", "/models/")


def test_an_evaluation_ends_when_the_server_says_so(site: Site, server: FakeServer, monkeypatch):
    waited = []

    def endless(self: object, model: object, data: object, options: object, config: object, report) -> None:
        import time

        while report("evaluating", 1, 2, {}):
            waited.append(time.sleep(0.01))

    monkeypatch.setattr(TorchWorkload, "local_evaluation", endless)
    seat = offered(server)
    seat.goes_on = False
    assert "Dropped: The server no longer needs this work." in site.run(**DIGITS)
    assert waited and not server.requests("POST", "/result")


def test_a_download_that_was_cut_continues(site: Site, server: FakeServer, measured: list[int]):
    from tests.clientagent.fake_server import half

    seat = offered(server)
    server.script("GET", "/models/", half, plainly)
    site.run(**DIGITS)
    ranges = [seen.headers["range"] for seen in server.requests("GET", "/models/")]
    assert seat.status == "reported" and len(ranges) == 2 and not ranges[1].startswith("bytes=0-")


def test_the_same_numbers_are_the_same_bytes(site: Site, server: FakeServer):
    digits = workloads.get("digits")
    assert isinstance(digits, TorchWorkload)
    data, model = SiteData(Settings(samples=60)).of(digits, {}), digits.initial_weights({}, 1)
    config = TrainConfig(epochs=1, batch_size=8, learning_rate=0.1, seed=1)
    first, second = (digits.local_evaluation(model, data, {}, config, lambda *_: True) for _ in range(2))
    assert json.dumps(first.metrics) == json.dumps(second.metrics) and first.counts == second.counts
    assert weights.dump(model) == weights.dump(digits.initial_weights({}, 1))


def test_another_release_of_the_server_is_told_again(site: Site, server: FakeServer, until: Callable[..., None]):
    server.version = "0.1.0"
    with site.running():
        until(lambda: server.requests("GET", "/work"))
        seat = server.offer()
        until(lambda: seat.status == "reported")
        server.version = "0.2.0"
        later = server.offer()
        until(lambda: later.status == "reported")
    assert len(server.infos) == 2 and server.infos[0] == server.infos[1]
