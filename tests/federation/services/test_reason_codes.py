"""Every end of a seat and of a round says why, by a code with arguments; and a round says what it made."""

from datetime import timedelta

import numpy as np
import pytest

from federation import reasons
from federation.api import rows
from federation.lifecycle import Outcome, RoundReason, SeatReason, SeatStatus
from federation.models import Event, Participation, Round
from federation.services import clients, repair, rounds, seats, sessions, waiting
from federation.services.rounds import aggregating
from tests.federation.cast import SIZE, damage_file, last_payload, seat_of, send, settle
from tests.federation.services.revoking import revoke
from tests.federation.services.test_defences import replace_base

pytestmark = pytest.mark.django_db


def told(row: Participation | Round) -> tuple[str, dict[str, object] | None]:
    row.refresh_from_db()
    assert row.reason == reasons.Reason(_code(row), row.reason_args or {}).sentence
    return row.reason_code, row.reason_args


def _code(row):
    return (SeatReason if isinstance(row, Participation) else RoundReason)(row.reason_code)


def of_event(session, kind):
    payload = last_payload(session, kind)
    return payload["reason_code"], payload["reason_args"]


def test_a_client_that_gives_up(open_round):
    session = open_round("anna", "ben").session
    seats.fail(seat_of("anna"), reason=" no data ")
    assert told(seat_of("anna")) == of_event(session, Event.Kind.SEAT_FAILED) == ("client_failed", {"said": "no data"})


def test_a_client_that_leaves(open_round):
    session = open_round("anna", "ben").session
    clients.leave(seat_of("anna").client)
    assert told(seat_of("anna")) == of_event(session, Event.Kind.SEAT_DROPPED) == ("left", {})


@pytest.mark.parametrize("way", ["disabled", "removed"])
def test_a_client_that_is_revoked(open_round, now, way):
    session = open_round("anna", "ben").session
    seat = seat_of("anna")
    revoke("anna", way, now=now)
    assert told(seat) == of_event(session, Event.Kind.SEAT_DROPPED) == (way, {})


def test_a_skipped_seat(open_round):
    session = open_round("anna", "ben").session
    rounds.skip(session, seat_of("anna").pk, by="alice")
    assert told(seat_of("anna")) == of_event(session, Event.Kind.SEAT_SKIPPED) == ("skipped", {"by": "alice"})


def test_a_seat_that_is_open_at_the_deadline(open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    send("anna", now=now)
    rounds.close(session.active_round(), now=session.active_round().deadline)
    assert told(seat_of("ben")) == of_event(session, Event.Kind.SEAT_DROPPED) == ("deadline", {})
    assert seat_of("anna").reason_code == "" and seat_of("anna").reason_args is None


def test_a_seat_that_is_open_when_somebody_finishes_the_round(open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)
    assert told(seat_of("ben")) == of_event(session, Event.Kind.SEAT_DROPPED) == ("round_closed", {"by": "alice"})


def test_a_round_without_its_quorum_at_the_deadline(open_round, now):
    round_ = open_round("anna", "ben")
    send("anna", now=now)
    rounds.close(round_, now=round_.deadline)
    assert told(seat_of("ben"))[0] == "round_failed"
    code, args = told(round_)
    assert (code, args["reported"], args["needed"]) == ("quorum_at_deadline", 1, 2)
    assert of_event(round_.session, Event.Kind.ROUND_FAILED) == (code, args)
    assert round_.outcome == Outcome.NOTHING


def test_a_round_whose_clients_gave_up_says_what_they_said(open_round, now):
    round_ = open_round("anna", "ben", max_retries=0)
    seats.fail(seat_of("anna"), reason="CUDA out of memory")
    seats.fail(seat_of("ben"), reason="no data")
    session = settle(round_.session, now=now)
    code, args = told(round_)
    assert code == "quorum_no_seat"
    assert [one["client"] for one in args["clients"]] == ["anna", "ben"]
    assert "anna gave up: CUDA out of memory. ben gave up: no data." in session.reason


def test_a_round_whose_updates_were_refused_says_why(open_round, now):
    round_ = open_round("anna")
    with pytest.raises(Exception, match="safetensors"):
        send("anna", b"no file at all", now=now)
    assert told(seat_of("anna"))[0] == of_event(round_.session, Event.Kind.UPDATE_REJECTED)[0] == "rejected"
    rounds.close(round_, now=round_.deadline)
    assert seat_of("anna").status == SeatStatus.REJECTED and told(seat_of("anna"))[0] == "rejected"
    assert of_event(round_.session, Event.Kind.SEAT_DROPPED)[0] == "rejected"
    assert "The update of anna was refused: " in round_.session.round_set.get().reason


def test_a_refused_update_is_forgotten_with_a_good_one(open_round, now):
    open_round("anna", "ben")
    with pytest.raises(Exception, match="safetensors"):
        send("anna", b"no file at all", now=now)
    send("anna", now=now)
    assert (seat_of("anna").reason, seat_of("anna").reason_code, seat_of("anna").reason_args) == ("", "", None)


def test_a_cancelled_session(open_round, alice, now):
    round_ = open_round("anna")
    sessions.cancel(round_.session, by=alice, now=now)
    assert told(seat_of("anna")) == ("session_ended", {"status": "cancelled"})
    assert told(round_) == of_event(round_.session, Event.Kind.ROUND_CANCELLED) == ("cancelled", {})
    assert round_.outcome == Outcome.NOTHING


@pytest.mark.parametrize("defences", [[], ["finite"]])
def test_a_model_that_would_not_be_finite(open_round, now, defences):
    round_ = open_round("anna", "ben", max_retries=0, defences=defences)
    replace_base(round_.base, np.full(SIZE, 3e38, np.float32))
    send("anna", now=now, value=0.0)
    send("ben", now=now, value=3e38)
    settle(round_.session, now=now)
    code, args = told(round_)
    assert (code, args["clients"]) == ("not_finite", ["ben"])
    if defences:
        assert (args["left"], args["needed"]) == (1, 2)
        assert told(seat_of("ben"))[1]["left_out"] is True


def test_a_worker_that_is_killed_over_it_again_and_again(open_round, now):
    round_ = open_round("anna")
    send("anna", now=now)
    rounds.close(round_, now=now)
    Round.objects.update(claims=aggregating.MOST_CLAIMS)
    rounds.advance(round_.session, now=now)
    assert told(round_) == ("internal", {"killed": aggregating.MOST_CLAIMS})


def test_a_model_that_is_lost_ends_its_round(open_round, now):
    round_ = open_round("anna", "ben")
    model = round_.base
    damage_file(model.digest)
    repair.damage.note([model.digest])
    model.refresh_from_db()
    repair._lost(model, "What its seed gives has another digest.")
    code, args = told(round_)
    assert (code, args["model"]) == ("model_lost", "v0")
    assert round_.outcome == Outcome.NOTHING and told(seat_of("anna"))[0] == "round_failed"


# ---- what a round made


def test_a_round_says_that_it_made_a_model_or_was_skipped(open_round, now):
    session = open_round("anna", on_round_failure="skip", max_retries=1, rounds=3).session
    send("anna", now=now)
    settle(session, now=now)
    for _ in range(2):
        seats.fail(seat_of("anna"), reason="no data")
        settle(session, now=now)
    assert list(session.round_set.values_list("number", "attempt", "outcome")) == [
        (1, 1, "model"),
        (2, 1, "nothing"),
        (2, 2, "skipped"),
        (3, 1, ""),
    ]
    assert rows.session(session, now=now)["completed_rounds"] == 1


def test_what_follows_a_failed_round_was_decided_when_it_failed(open_round, now):
    session = open_round("anna", on_round_failure="skip", max_retries=0, rounds=3).session
    seats.fail(seat_of("anna"), reason="no data")
    rounds.close(session.active_round(), now=now)
    session.max_retries, session.on_round_failure = 5, "retry"
    session.save(update_fields=["max_retries", "on_round_failure"])
    assert rounds.next_try(session) == (2, 1)


# ---- a pause before it is tried again


def test_the_first_retry_opens_at_once_and_each_later_one_later(open_round, now):
    session = open_round("anna", max_retries=9).session
    waits = []
    for _ in range(5):
        seats.fail(seat_of("anna"), reason="no data")
        settle(session, now=now)
        waits.append(0)
        while session.active_round() is None:
            now += timedelta(seconds=1)
            waits[-1] += 1
            clients.touch(seat_of("anna").client, now=now)
            settle(session, now=now)
            assert waits[-1] < 100
    assert waits == [0, 5, 20, 60, 60]


def test_a_round_that_failed_at_its_deadline_is_tried_again_at_once(open_round, now):
    session = open_round("anna", max_retries=9).session
    for _ in range(4):
        now = session.active_round().deadline
        clients.touch(seat_of("anna").client, now=now)
        Participation.objects.filter(status="invited").update(status="training")
        settle(session, now=now)
        assert session.active_round() is not None


def test_the_pause_is_explained_and_holds_no_other_session_up(open_round, running, now):
    session = open_round("anna", max_retries=9).session
    for _ in range(2):
        seats.fail(seat_of("anna"), reason="no data")
        settle(session, now=now)
    assert [one["detail"] for one in waiting.reasons(session, now=now) if one["reason"] == "retrying"] == [
        "Round 1 failed twice. It is tried again in 5 s. "
        "0 of 1 needed updates had arrived when no seat was open any more. anna gave up: no data."
    ]
    other = running(name="other")
    settle(other, now=now)
    assert other.active_round() is not None


def test_a_clock_that_was_set_back_prolongs_no_pause(open_round, now):
    session = open_round("anna", max_retries=9).session
    for _ in range(2):
        seats.fail(seat_of("anna"), reason="no data")
        settle(session, now=now)
    assert not rounds.rests(session, now - timedelta(hours=1))
