"""Traces of rounds: what they say of rounds that end one way or another, whatever their clients told."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import otlp
from federation.lifecycle import RoundStatus
from federation.models import Client, Participation, Round
from federation.services import rounds, sessions, traces
from tests.collector import collecting
from tests.federation.cast import seat_of, send, settle

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def told(round_):
    """A round's spans by their names."""
    found = traces.spans(Round.objects.get(pk=round_.pk))
    assert len({one.span_id for one in found}) == len(found)
    assert len({one.trace_id for one in found}) == 1
    assert {one.parent_id for one in found} - {one.span_id for one in found} == {None}
    return {one.path[1:] if one.path[1:] else "root": one for one in found}


@pytest.fixture
def two(open_round, now):
    """A round whose clients took the work after 1 s; anna reported after 9 s, 8 s of which she measured."""
    round_ = open_round("anna", "ben", rounds=1)
    send("anna", now=now + timedelta(seconds=9))
    send("ben", now=now + timedelta(seconds=10))
    Participation.objects.update(taken_at=now + timedelta(seconds=1))
    Participation.objects.filter(client__name="anna").update(
        timings={"downloading": 1.0, "training": 5, "evaluating": 0.5}, trained_at=now + timedelta(seconds=8)
    )
    settle(round_.session, now=now + timedelta(seconds=10))
    round_.refresh_from_db()
    return round_


def test_a_round_its_halves_and_what_each_client_did(two, now):
    found = told(two)
    anna, ben = (f"seat {seat_of(name).pk}" for name in ("anna", "ben"))
    assert (found["root"].name, found["root"].start, found["root"].end) == ("round 1", two.opened_at, two.closed_at)
    assert found["root"].attributes["fl.model.version"] == 1 and not found["root"].failure
    assert found[("collect",)].end == found[("aggregate",)].start == two.collected_at
    phases = {name: found["collect", anna, name] for name in ("download", "train", "evaluate", "upload")}
    after = {name: ((one.start - now).total_seconds(), (one.end - now).total_seconds()) for name, one in phases.items()}
    assert after == {"download": (1.5, 2.5), "train": (2.5, 7.5), "evaluate": (7.5, 8), "upload": (8, 9)}
    assert {one.instance for one in phases.values()} == {"anna"}
    assert found["collect", anna].attributes["fl.seat.status"] == "aggregated"
    assert [path for path in found if path[:2] == ("collect", ben)] == [("collect", ben)]


def test_a_round_that_failed_says_why(open_round, now):
    round_ = open_round("anna", "ben", rounds=1)
    assert rounds.close(round_, now=round_.deadline + timedelta(seconds=1))
    found = told(round_)
    assert found["root"].failure == Round.objects.get(pk=round_.pk).reason != ""
    assert ("aggregate",) not in found and found["root"].attributes["fl.round.outcome"] != "model"


def test_a_cancelled_session_closes_its_rounds_trace(open_round, alice, now):
    round_ = open_round("anna", "ben")
    sessions.cancel(round_.session, by=alice, now=now)
    assert told(round_)["root"].failure


@given(
    timings=st.none()
    | st.dictionaries(
        st.sampled_from(["downloading", "training", "evaluating", "x"]),
        st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=3),
    )
    | st.integers(),
    trained=st.none() | st.integers(-(10**6), 10**6),
    reported=st.none() | st.integers(-(10**6), 10**6),
)
def test_whatever_a_seat_holds_each_span_begins_before_it_ends(timings, trained, reported):
    at = [None if seconds is None else NOW + timedelta(seconds=seconds) for seconds in (trained, reported)]
    seat = Participation(
        pk=1, client=Client(name="anna"), round=Round(opened_at=NOW), timings=timings,
        trained_at=at[0], reported_at=at[1],
    )  # fmt: skip
    for one in traces._of_seat(("round 1", "collect"), seat, NOW):
        sent = otlp.readable(one)
        assert 0 < sent.start_time <= sent.end_time
        assert sent.parent is not None and sent.context.span_id != sent.parent.span_id


def test_it_is_sent_when_the_round_has_ended(closed, now, settings, django_capture_on_commit_callbacks):
    with collecting() as (url, kept):
        settings.FL_TRACES = url
        with django_capture_on_commit_callbacks(execute=True):
            round_ = closed(rounds=1)
            assert not kept
            settle(round_.session, now=now)
        otlp.processor(url).flush()
        otlp.processor.cache_clear()
    names = [span.name for _, span in kept]
    assert sorted(names) == ["aggregate", "client anna", "client ben", "collect", "round 1"]
    assert len({span.trace_id for _, span in kept}) == 1


def test_without_the_setting_nothing_is_asked_for(closed, now, django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(traces, "_send", lambda round_id: pytest.fail("nobody wants it"))
    settle(closed(rounds=1).session, now=now)


def test_a_collector_that_is_away_ends_no_round(closed, now, settings, django_capture_on_commit_callbacks):
    settings.FL_TRACES = "http://127.0.0.1:9/v1/traces"
    with django_capture_on_commit_callbacks(execute=True):
        round_ = closed(rounds=1)
        settle(round_.session, now=now)
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COMPLETED
    otlp.processor.cache_clear()
