"""A client that lies spoils nothing, and one that is disabled counts no longer, whatever is killed meanwhile.

Four clients that know the contract alone: three are honest, the fourth does in each round what it likes.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from federation.killpoints import Point
from tests.e2e.plain import PlainClient, read, write
from tests.e2e.stack import Stack, assert_nothing_counted_twice, running, until
from tests.e2e.steering import seat

HONEST, LIAR = ("anna", "ben", "carl"), "dora"
TOLD, CLAIMED = 100, 10**12  # examples
CLAIM, NORM, GROWTH, SPOIL = ROUNDS = (1, 2, 3, 4)  # what the liar does; in the third all make one weight large
SIZE = 64
SETTINGS = {"workload": {"name": "synthetic", "options": {"num_parameters": SIZE}}, "seed": 7, "cohort_size": 4}

Values = NDArray[np.float32]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("liars"), killable=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def four(site: Stack) -> list[PlainClient]:
    return [PlainClient(site, name, TOLD, 0) for name in (*HONEST, LIAR)]


def deltas(number: int) -> list[Values]:
    """What the four send in a round, the liar last."""
    sent = [(0.1 * np.random.default_rng([n, number]).standard_normal(SIZE)).astype(np.float32) for n in range(4)]
    if number == NORM:
        sent[-1] *= np.float32(1e6)
    if number in (GROWTH, SPOIL):
        for delta in sent:
            delta[0] = 1.5e38 if number == GROWTH else -1e38
    if number == SPOIL:
        sent[-1][0] = 3e38  # with the 1.5e38 that are there no float32 any more
    return sent


def works(four: Sequence[PlainClient]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(len(four)) as pool:
        return list(pool.map(lambda client: until(partial(client.work, wait=5)), four))


def put(client: PlainClient, work: dict[str, Any], delta: Values, *, num_examples: int = TOLD) -> bytes:
    blob = write({"weight": delta}, num_examples=str(num_examples), base_digest=work["base_model"]["digest"])
    assert client.put(work, blob) == 204
    return blob


@contextlib.contextmanager
def dying(site: Stack, point: Point | None) -> Iterator[None]:
    """The server is killed at this point by what is done here, and started again."""
    if point is None:
        yield
        return
    site.kill_at("web", point)
    with contextlib.suppress(requests.RequestException):  # the answer may die with it
        yield
    site.died("web")
    site.start("web")


def weights(site: Stack, session: str) -> list[NDArray[np.float64]]:
    digests = [model["digest"] for model in site.get(f"/sessions/{session}/models")["items"]]
    blobs = [site.http.get(f"{site.url}/api/v1/models/{digest}", timeout=30).content for digest in digests]
    return [read(blob)["weight"].astype(np.float64) for blob in blobs]


# ---- the liar


def lied_to(site: Stack, four: list[PlainClient], killed: dict[int, Point]) -> str:
    """A session of four rounds. killed: where the server dies, by the round."""
    session = site.session(rounds=len(ROUNDS), quorum=3, **SETTINGS)
    for number in ROUNDS:
        claims = [TOLD] * 3 + [CLAIMED if number == CLAIM else TOLD]
        *first, last = zip(four, works(four), deltas(number), claims, strict=True)
        for client, work, delta, claim in first:
            put(client, work, delta, num_examples=claim)
        with dying(site, killed.get(number)):
            put(*last[:3], num_examples=last[3])
    assert site.ended(session)["status"] == "completed"
    assert_nothing_counted_twice(site, session)
    return session


@pytest.fixture(scope="module")
def undisturbed(site: Stack, four: list[PlainClient]) -> str:
    return lied_to(site, four, {})


def test_each_lie_is_put_right_flagged_and_told_with_its_client(site: Stack, undisturbed: str):
    claimed, large, grown, spoiling = (seat(site, undisturbed, number, LIAR) for number in ROUNDS)
    assert (claimed["num_examples"], claimed["counted_examples"]) == (CLAIMED, TOLD)
    assert claimed["flags"] == [{"code": "examples_capped", "claimed": CLAIMED, "counted": TOLD}]
    clipped, odd = large["flags"]
    assert (odd["code"], odd["since"], odd["times"]) == ("odd", NORM, 1)
    norms = [float(np.linalg.norm(delta.astype(np.float64))) for delta in deltas(NORM)]
    assert clipped["code"] == "norm_clipped" and clipped["norm"] == pytest.approx(norms[-1])
    assert clipped["median"] == pytest.approx(np.median(norms))
    assert clipped["limit"] == pytest.approx(100 * np.median(norms))
    assert [one["status"] for one in (claimed, large, grown)] == ["aggregated"] * 3 and grown["flags"] == []
    assert (spoiling["status"], spoiling["flags"]) == ("rejected", [{"code": "left_out", "round": SPOIL}])
    assert "not finite" in spoiling["reason"]
    rejected = [event["payload"] for event in site.events(undisturbed) if event["kind"] == "update.rejected"]
    assert [(one["client"]["name"], one["round"]) for one in rejected] == [(LIAR, SPOIL)]


def test_the_honest_are_as_if_nobody_lied(site: Stack, undisturbed: str):
    rounds = site.get(f"/sessions/{undisturbed}/rounds")["items"]
    ends = [(one["number"], one["attempt"], one["status"]) for one in rounds]
    assert ends == [(number, 1, "completed") for number in ROUNDS]
    honest = [one for round_ in rounds for one in round_["participations"] if one["client"]["name"] in HONEST]
    assert [(one["status"], one["flags"], one["counted_examples"]) for one in honest] == [("aggregated", [], TOLD)] * 12


def test_the_model_is_what_the_defences_leave_and_near_the_honest_mean(site: Stack, undisturbed: str):
    made = weights(site, undisturbed)
    honest = made[0].copy()
    for number, before, after in zip(ROUNDS, made, made[1:], strict=False):
        *good, bad = (delta.astype(np.float64) for delta in deltas(number))
        limit = 100 * np.median([np.linalg.norm(delta) for delta in (*good, bad)])
        counted = [*good, bad * min(1.0, limit / np.linalg.norm(bad))] if number != SPOIL else good
        np.testing.assert_allclose(after, before + np.mean(counted, axis=0), rtol=1e-5, atol=1e-6)
        honest += np.mean(good, axis=0)
    assert made[-1][0] == pytest.approx(honest[0])
    # One of four, once with a hundred times the others' norm of about 0.8; as it was sent it would be 200,000.
    assert np.linalg.norm(made[-1][1:] - honest[1:]) < 25


def test_a_server_that_is_killed_before_it_publishes_decides_alike(
    site: Stack, four: list[PlainClient], undisturbed: str
):
    session = lied_to(site, four, {NORM: Point.HALF_AGGREGATED, SPOIL: Point.AGGREGATED})
    before, after = (site.get(f"/sessions/{one}/models")["items"] for one in (undisturbed, session))
    assert [model["digest"] for model in after] == [model["digest"] for model in before]
    for number in ROUNDS:
        of_liar = [seat(site, one, number, LIAR) for one in (undisturbed, session)]
        assert of_liar[0]["flags"] == of_liar[1]["flags"] and of_liar[0]["status"] == of_liar[1]["status"]


# ---- a liar that is suspected


def turned_around(site: Stack, four: list[PlainClient], killed: dict[int, Point]) -> str:
    """A session of three rounds in which the fourth sends ten times the opposite of what the others do."""
    strategy = {"name": "trimmed_mean", "options": {"liars": 1}}
    session = site.session(rounds=3, quorum=4, strategy=strategy, **SETTINGS)
    for number in (1, 2, 3):
        honest = np.random.default_rng(number).normal(0.1, 0.02, (3, SIZE)).astype(np.float32)
        *first, last = zip(four, works(four), [*honest, -10 * honest[0]], strict=True)
        for one in first:
            put(*one)
        with dying(site, killed.get(number)):
            put(*last)
    assert site.ended(session)["status"] == "completed"
    return session


def test_a_robust_strategy_holds_and_the_liar_is_named_whatever_is_killed(site: Stack, four: list[PlainClient]):
    sessions = [turned_around(site, four, killed) for killed in ({}, {2: Point.HALF_AGGREGATED})]
    digests = [[model["digest"] for model in site.get(f"/sessions/{one}/models")["items"]] for one in sessions]
    assert digests[0] == digests[1]
    for session in sessions:
        made = weights(site, session)
        assert made[-1] - made[0] == pytest.approx(np.full(SIZE, 0.3), abs=0.1)
        (odd,) = seat(site, session, 3, LIAR)["flags"]
        assert (odd["code"], odd["sign"], odd["since"], odd["times"]) == ("odd", "direction", 1, 3)
        assert [seat(site, session, 3, name)["flags"] for name in HONEST] == [[]] * 3


# ---- the client that is disabled


def one_round(site: Stack, four: list[PlainClient]) -> tuple[str, list[Any]]:
    """A session whose only round is open. Returns it, and what each client has to send."""
    session = site.session(rounds=1, quorum=3, **SETTINGS)
    return session, list(zip(four, works(four), deltas(CLAIM), strict=True))


def model(site: Stack, session: str) -> str:
    assert site.ended(session)["status"] == "completed"
    assert_nothing_counted_twice(site, session)
    return site.get(f"/sessions/{session}")["model"]["digest"]


def enable(site: Stack, name: str, enabled: bool) -> None:
    (client,) = (one for one in site.get("/clients")["items"] if one["name"] == name)
    answer = site.http.patch(f"{site.url}/api/v1/clients/{client['id']}", json={"enabled": enabled}, timeout=30)
    assert answer.json()["enabled"] is enabled


@pytest.fixture
def disable(site: Stack) -> Iterator[Any]:
    yield partial(enable, site, LIAR, False)
    enable(site, LIAR, True)


@pytest.fixture(scope="module")
def without(site: Stack, four: list[PlainClient]) -> str:
    """The model of the round in which the fourth gave its seat up."""
    session, (*others, (client, work, _)) = one_round(site, four)
    url = f"{site.url}/api/v1/participations/{work['participation']}/fail"
    assert client.http.post(url, json={"reason": "not now"}, timeout=30).ok
    for one in others:
        put(*one)
    return model(site, session)


def assert_dropped(site: Stack, session: str) -> None:
    gone = seat(site, session, 1, LIAR)
    assert (gone["status"], gone["reason"]) == ("dropped", "The client was disabled.")
    assert [seat(site, session, 1, name)["status"] for name in HONEST] == ["aggregated"] * 3


def test_one_that_is_disabled_while_the_round_collects(site: Stack, four: list[PlainClient], without: str, disable):
    session, (first, second, last, reported) = one_round(site, four)
    for one in (reported, first, second):
        put(*one)
    disable()
    with dying(site, Point.AGGREGATED):
        put(*last)
    assert model(site, session) == without
    assert_dropped(site, session)


@pytest.mark.parametrize("killed", [False, True], ids=["it goes on", "it is killed"])
def test_one_that_is_disabled_while_a_worker_reads_its_update(
    site: Stack, four: list[PlainClient], without: str, disable, killed: bool
):
    session, (first, second, last, reported) = one_round(site, four)
    blob = put(*reported)
    for one in (first, second):
        put(*one)
    file = site.folder / "weights" / stored(site, session)
    with stalled(file):
        put(*last)
        held = until(partial(hold, file), why="the update to be read")
        assert site.get(f"/sessions/{session}/rounds")["items"][0]["status"] == "aggregating"
        disable()
        if killed:
            site.kill("web")
        os.close(held)  # the worker finds the file empty: that is no matter any more
        assert killed or model(site, session) == without
    file.write_bytes(blob)  # whole again, so that only the decision keeps it out
    if killed:
        site.start("web")
    assert model(site, session) == without
    assert_dropped(site, session)


def stored(site: Stack, session: str) -> str:
    digest = seat(site, session, 1, LIAR)["digest"]
    return f"{digest[:2]}/{digest}.safetensors"


@contextlib.contextmanager
def stalled(file: Path) -> Iterator[None]:
    """Whoever reads this file waits, as for a disk that does not answer: it is a pipe into which nobody writes."""
    file.unlink()
    os.mkfifo(file)
    yield
    file.unlink()


def hold(pipe: Path) -> int | None:
    """Keep whoever reads a pipe waiting. None while nobody reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        assert error.errno == errno.ENXIO
        return None
