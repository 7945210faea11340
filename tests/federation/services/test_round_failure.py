"""What a session does about a round that failed: `on_round_failure`."""

import pytest

from federation.api import rows
from federation.errors import Invalid
from federation.lifecycle import SessionStatus
from federation.models import Event
from federation.services import seats
from tests.federation.cast import kinds, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db


def give_up(session, now):
    seats.fail(seat_of("anna"), reason="no data")
    return settle(session, now=now)


def test_skip_goes_on_with_the_next_number_from_the_last_model(open_round, now):
    session = open_round("anna", on_round_failure="skip", max_retries=1, rounds=3).session
    send("anna", now=now)
    settle(session, now=now)
    give_up(session, now)
    assert not last_payload(session, Event.Kind.ROUND_FAILED)["skipped"]
    give_up(session, now)
    assert last_payload(session, Event.Kind.ROUND_FAILED)["skipped"]
    round_ = session.active_round()
    assert (round_.number, round_.attempt, round_.base_model.version) == (3, 1, 1)
    send("anna", now=now)
    settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED
    assert list(session.models.values_list("version", flat=True)) == [0, 1, 3]
    assert session.last_model().parent.version == 1
    assert rows.session(session, now=now)["completed_rounds"] == 2
    assert rows.sessions([session], now=now)[0]["completed_rounds"] == 2


def test_a_session_whose_last_round_is_skipped_completes_with_the_model_that_it_has(open_round, now):
    session = open_round("anna", on_round_failure="skip", max_retries=0, rounds=2).session
    send("anna", now=now)
    settle(session, now=now)
    give_up(session, now)
    assert session.status == SessionStatus.COMPLETED
    assert kinds(session)[-2:] == ["round.failed", "session.completed"]


def test_a_session_all_of_whose_rounds_are_skipped_has_failed(open_round, now):
    session = open_round("anna", on_round_failure="skip", max_retries=0, rounds=2).session
    give_up(session, now)
    assert session.active_round().number == 2
    give_up(session, now)
    assert (session.status, session.reason[:18]) == (SessionStatus.FAILED, "Every round failed")


def test_stop_fails_the_session_at_once(open_round, now):
    session = open_round("anna", on_round_failure="stop", max_retries=2).session
    give_up(session, now)
    assert session.status == SessionStatus.FAILED
    assert session.reason.startswith("Round 1 failed: ")


def test_another_policy_is_refused_with_those_that_are_known(draft):
    with pytest.raises(Invalid, match="on_round_failure is 'hope': choose one of retry, skip, stop"):
        draft(on_round_failure="hope")
