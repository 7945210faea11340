"""One PUT for a whole update. What an update must be is tested with the service; here: how it travels."""

import base64
import hashlib
from datetime import timedelta

import numpy as np
import pytest

from federation import storage
from federation.api.head import Head
from federation.api.uploads import receiving
from federation.lifecycle import SeatStatus
from federation.models import Client
from federation.services import clients, rounds, seats, sessions
from federation.services.seats import updates
from tests.federation.api.conftest import problem
from tests.federation.asgi import Answer
from tests.federation.cast import SIZE, seat_of, send, settle, token_of, update

pytestmark = pytest.mark.django_db(transaction=True)


def url(name):
    return f"/api/v1/participations/{seat_of(name).pk}/update"


@pytest.fixture
def put(raw):
    def put(name, body=None, *, by=None, **headers) -> Answer:
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        body = update(seat_of(name)) if body is None else body
        return raw("PUT", url(name), body, by=by or name, headers=headers)

    return put


def content_digest(body):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def test_an_update_is_accepted_and_whoever_advances_is_told(open_round, put, enqueued):
    session = open_round("anna").session
    answer = put("anna")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert seat_of("anna").status == SeatStatus.REPORTED
    assert enqueued == [("advance", session.pk)]


def test_one_whose_client_is_disabled_while_it_is_read_is_refused_and_counts_nowhere(open_round, put, monkeypatch):
    session = open_round("anna", "ben", quorum=1).session
    check = updates.wire.check

    def disabled_meanwhile(*args, **kwargs):
        clients.set_enabled(Client.objects.get(name="anna"), False, by="alice")
        return check(*args, **kwargs)

    monkeypatch.setattr(updates.wire, "check", disabled_meanwhile)
    assert "anna is disabled" in problem(put("anna"), 403)
    assert (seat_of("anna").status, seat_of("anna").reason) == (SeatStatus.DROPPED, "The client was disabled.")
    assert session.active_round().tally() == {"open_seats": 1, "reported": 0}


def test_one_whose_client_is_removed_while_it_is_read_is_refused(open_round, put, now, monkeypatch):
    open_round("anna", "ben", quorum=1)
    check, anna = updates.wire.check, Client.objects.get(name="anna")

    def removed_meanwhile(*args, **kwargs):
        clients.remove(anna, by="alice", now=now)
        return check(*args, **kwargs)

    monkeypatch.setattr(updates.wire, "check", removed_meanwhile)
    assert "revoked" in problem(put("anna"), 401)
    assert anna.seats.get().status == SeatStatus.DROPPED


def test_it_may_come_in_pieces(open_round, put):
    open_round("anna")
    body = update(seat_of("anna"))
    assert put("anna", [body[:7], b"", body[7:50], body[50:]]).status == 204


def test_one_of_several_updates_moves_nothing_unless_a_session_waits_for_its_client(open_round, put, running, enqueued):
    first = open_round("anna", "ben", "carl").session
    assert put("anna").status == 204 and enqueued == []
    running(name="second")
    assert put("ben").status == 204 and enqueued == [("advance", first.pk)]


def test_the_same_bytes_again_are_accepted_and_other_bytes_are_not(open_round, put, enqueued):
    open_round("anna", "ben")
    assert [put("anna").status, put("anna").status] == [204, 204]
    assert "other bytes" in problem(put("anna", update(seat_of("anna"), 0.25)), 409)
    assert enqueued == []


def test_the_same_bytes_are_accepted_after_the_round(open_round, raw, now):
    session = open_round("anna", rounds=1).session
    body, address = update(seat_of("anna")), url("anna")
    assert raw("PUT", address, body, by="anna").status == 204
    settle(session, now=now)
    assert raw("PUT", address, body, by="anna").status == 204


def test_refused_content_is_told_by_the_tensors_name_and_a_good_update_taken_next(open_round, put, enqueued):
    open_round("anna")
    bad = np.zeros(SIZE, np.float32)
    bad[3] = np.nan
    answer = put("anna", update(seat_of("anna"), tensors={"weight": bad}))
    assert "weight" in problem(answer, 422, field="update")
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert enqueued == []
    assert put("anna").status == 204


def test_an_empty_body_is_refused(open_round, put):
    open_round("anna")
    problem(put("anna", b""), 422)


def test_a_damaged_body_is_found_by_its_content_digest(open_round, put):
    open_round("anna")
    body = update(seat_of("anna"))
    problem(put("anna", body, Content_Digest=content_digest(b"other")), 422, field="Content-Digest")
    problem(put("anna", body, Content_Digest="sha-256=:abc:"), 422)
    assert seat_of("anna").reason == "", "nothing is wrong with the update itself"
    assert put("anna", body, Content_Digest=content_digest(body)).status == 204


def test_a_digest_of_another_algorithm_is_not_looked_at(open_round, put):
    open_round("anna")
    assert put("anna", Content_Digest="sha-512=:AAAA:").status == 204


def test_what_is_too_large_for_a_put_is_told_the_way(open_round, put, settings):
    settings.FL_MAX_PUT_BYTES = 100
    open_round("anna")
    said = put("anna", b"", Content_Length="101")
    assert "tus" in problem(said, 413)
    unsaid = put("anna", [b"x" * 60, b"x" * 60])
    assert "100" in problem(unsaid, 413)
    assert list(settings.FL_SCRATCH_DIR.iterdir()) == []
    settings.FL_MAX_PUT_BYTES = 8 << 20
    assert put("anna").status == 204


def test_who_hangs_up_leaves_nothing(open_round, put, raw, settings):
    open_round("anna")
    assert raw("PUT", url("anna"), [b"half of it"], by="anna", cut=True).status == 0
    assert list(settings.FL_SCRATCH_DIR.iterdir()) == []
    assert put("anna").status == 204


def test_while_the_disk_is_full_nothing_new_is_taken_in_and_nothing_is_lost(open_round, put, raw, monkeypatch):
    open_round("anna")
    part = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    with monkeypatch.context() as full:
        full.setattr(storage.room, "SPARE_BYTES", 1 << 60)
        assert "disk is full" in problem(put("anna"), 507)
        problem(raw("PATCH", url("anna"), b"part", by="anna", headers=part), 507)
    assert put("anna").status == 204


def test_another_clients_seat_is_not_there(open_round, put, raw):
    open_round("anna", "ben")
    problem(put("anna", by="ben"), 404)
    problem(raw("PUT", "/api/v1/participations/999999/update", b"", by="ben"), 404)
    problem(raw("PUT", url("anna"), b""), 401)
    problem(raw("PUT", url("anna"), b"", token="0" * 64), 401)
    assert seat_of("anna").is_open


def test_an_api_key_cannot_report(open_round, raw, key):
    open_round("anna")
    problem(raw("PUT", url("anna"), b"", token=key), 403)


def test_an_update_for_a_closed_round_is_kept_labelled_late(open_round, put, enqueued, now):
    round_ = open_round("anna", "ben", quorum=1, rounds=1)
    send("ben", now=now)
    settle(round_.session, now=round_.deadline)
    assert "late" in problem(put("anna"), 410)
    assert seat_of("anna").status == SeatStatus.LATE
    problem(put("anna"), 410)
    assert enqueued == []


def test_an_update_for_a_cancelled_round_is_refused_unread(open_round, raw, alice, now):
    session = open_round("anna").session
    sessions.cancel(session, by=alice, now=now)
    problem(raw("PUT", url("anna"), [b"never read"], by="anna"), 410)
    assert seat_of("anna").status == SeatStatus.DROPPED


def test_a_late_update_that_cannot_be_used_is_refused_as_such(open_round, put, now):
    round_ = open_round("anna", "ben", quorum=1, rounds=1)
    send("ben", now=now)
    rounds.close(round_, now=round_.deadline)
    problem(put("anna", b"nonsense"), 422)
    assert seat_of("anna").status == SeatStatus.DROPPED


def test_a_client_that_gave_up_is_told_that_it_did(open_round, put):
    open_round("anna", "ben")
    seats.fail(seat_of("anna"), reason="no data")
    assert "failed" in problem(put("anna"), 410)


def test_every_part_of_an_upload_is_a_sign_of_life(open_round, put, now):
    open_round("anna")
    Client.objects.update(last_seen=now - timedelta(seconds=30))
    put("anna")
    assert Client.objects.get().last_seen >= now


def test_other_methods_are_refused(open_round, raw):
    open_round("anna")
    answer = raw("DELETE", url("anna"), by="anna")
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"PUT", "POST", "HEAD", "PATCH", "OPTIONS"}


def test_an_update_costs_a_dozen_queries(open_round, tmp_path, django_assert_max_num_queries):
    open_round("anna")
    headers, seat = {"authorization": f"Bearer {token_of('anna')}"}, seat_of("anna")
    file = tmp_path / "update"
    file.write_bytes(update(seat))
    with django_assert_max_num_queries(12):  # two of them begin and end the transaction, two ask what moves now
        receiving.receive(receiving.receivable_seat(Head(headers), seat.pk), file, None)
