"""Real agents behind a wire that is cut, reset, slowed down and swallowed: they go on where they stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.stack import Stack, assert_nothing_counted_twice, running, until
from tests.e2e.wire import Fault, Kind, Way, Wire, wire_to

PART_BYTES = 1 << 20
MODEL_BYTES = 8_000_000
ENV = {"FL_PART_BYTES": str(PART_BYTES), "FL_MAX_PUT_BYTES": "32768"}
SYNTHETIC = {"name": "synthetic", "options": {"num_parameters": MODEL_BYTES // 4}}
SPARE_BYTES = 200_000  # headers, polls and points of one session


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("network"), env=ENV) as stack:
        yield stack


@pytest.fixture(scope="module")
def wire(site: Stack) -> Iterator[Wire]:
    with wire_to(site.port) as wire:
        site.agent("far", "--workload", "synthetic", "--server", wire.url)
        site.online(1)
        yield wire


def run(site: Stack, wire: Wire) -> tuple[str, dict[Way, int]]:
    """A session over one round from a first model that the agent lacks: the last model, the bytes of the wire."""
    for model in site.folder.glob("agents/*/models/*"):
        model.unlink()
    before = wire.carried.copy()
    session = site.session(workload=SYNTHETIC, rounds=1, seed=7, quorum=1, cohort_size=1)
    state = site.ended(session)
    assert state["status"] == "completed", state
    assert_nothing_counted_twice(site, session)
    return state["model"]["digest"], {way: wire.carried[way] - before[way] for way in Way}


@pytest.fixture(scope="module")
def undisturbed(site: Stack, wire: Wire) -> str:
    digest, carried = run(site, wire)
    assert all(MODEL_BYTES < number < MODEL_BYTES + SPARE_BYTES for number in carried.values())
    return digest


@contextmanager
def faulty(wire: Wire, *faults: Fault) -> Iterator[None]:
    wire.struck.clear()
    wire.faults = list(faults)
    wire.cut()  # so that bytes are counted from a new connection
    yield
    wire.faults = []


def log(site: Stack, past: int = 0) -> str:
    return (site.folder / "far.log").read_text()[past:]


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
def test_a_transfer_goes_on_where_it_was_cut(site: Stack, wire: Wire, undisturbed: str, kind: Kind, way: Way):
    with faulty(wire, *(Fault(kind, way, after=at) for at in (2_500_000, 3_700_000))):
        digest, carried = run(site, wire)
    assert digest == undisturbed
    assert wire.struck == {kind: 2}
    assert carried[way] < MODEL_BYTES + 2 * PART_BYTES + SPARE_BYTES


@pytest.mark.parametrize("way", Way)
def test_a_connection_that_never_lasts_for_a_whole_part_is_enough(site: Stack, wire: Wire, undisturbed: str, way: Way):
    with faulty(wire, Fault(Kind.RESET, way, after=700_000, always=True)):
        digest, carried = run(site, wire)
    assert digest == undisturbed
    assert wire.struck[Kind.RESET] >= MODEL_BYTES // 700_000
    assert carried[way] < 2 * MODEL_BYTES


@pytest.mark.parametrize("way", Way)
def test_a_swallowed_transfer_goes_on_when_the_connection_ends(site: Stack, wire: Wire, undisturbed: str, way: Way):
    """What a router does that lost its tables: first nothing, then a reset."""

    def swallowed() -> Any:
        return wire.struck[Kind.HOLE] and wire.reset()

    with faulty(wire, Fault(Kind.HOLE, way, after=2_500_000)):
        for model in site.folder.glob("agents/*/models/*"):
            model.unlink()
        session = site.session(workload=SYNTHETIC, rounds=1, seed=7, quorum=1, cohort_size=1)
        until(swallowed)
        assert site.ended(session)["model"]["digest"] == undisturbed


def test_a_slow_and_late_wire_is_only_slow(site: Stack, wire: Wire, undisturbed: str):
    past = len(log(site))
    wire.bytes_per_second, wire.delay_seconds = 6_000_000, 0.005
    digest, carried = run(site, wire)
    wire.bytes_per_second, wire.delay_seconds = 0, 0.0
    assert digest == undisturbed
    assert all(number < MODEL_BYTES + SPARE_BYTES for number in carried.values())
    assert "does not answer" not in log(site, past)


def test_an_outage_is_shown_and_ridden_through(site: Stack, wire: Wire, undisturbed: str):
    past = len(log(site))
    wire.down()
    until(lambda: "The server does not answer (the connection was cut). Trying again until it does." in log(site, past))
    session = site.session(workload=SYNTHETIC, rounds=1, seed=7, quorum=1, cohort_size=1)
    wire.up()
    assert site.ended(session)["model"]["digest"] == undisturbed
    assert "The server is back after" in log(site, past)
