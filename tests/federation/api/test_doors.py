"""Whatever a client sends, in a header, a number or its info: a clear answer, and the others go on."""

import json

import pytest
from django.test import Client as Browser
from hypothesis import given
from hypothesis import strategies as st

from federation.models import Client, Metric, Participation
from federation.services import info
from tests.federation.cast import seat_of, token_of
from tests.properties import PROPERTY, json_values, odd_numbers

pytestmark = pytest.mark.django_db(transaction=True)
HEADERS = (
    "FL-Agent-Instance", "User-Agent", "Accept", "Accept-Encoding", "Range", "If-Range", "If-None-Match", "Cookie",
    "Content-Digest", "Repr-Digest", "Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Checksum",
    "Upload-Metadata", "Tus-Resumable", "Content-Type", "Cache-Control", "X-CSRFToken", "Idempotency-Key",
    "HX-Request", "HX-Current-URL", "HX-Target", "HX-Triggering-Event", "Origin", "Referer", "Accept-Language",
)  # fmt: skip
odd_values = st.sampled_from(
    [
        " ", "0", "-1", "²", "9" * 19, "9" * 5000, "1e400", "nan", "null", "[" * 7000, '{"a":' * 500, "bytes=²-", "*",
        "bytes=9-1", "bytes=" + "9" * 5000 + "-", "sha-256=:é:", "sha-256=:a:", "sha1 é", "sha256 =", "md5 x", "http://[",
        'fl_session="\\000\\000\\000\\000\\000\\000\\000\\000"', "fl_session=\xff", "true", "http://[::1",
        "/\\x", "é" * 300,
    ]
) | st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), min_size=1, max_size=40)  # fmt: skip
odd_headers = st.dictionaries(st.sampled_from(HEADERS), odd_values, min_size=1, max_size=6)


@PROPERTY
@given(headers=odd_headers)
def test_any_header_of_a_client_gets_an_answer(open_round, raw, headers):
    seat = Participation.objects.first() or open_round("anna", "ben").seats.first()
    base = f"/api/v1/participations/{seat.pk}"
    for method, path in (
        ("GET", "/api/v1/work?wait=0"),
        ("GET", f"/api/v1/models/{seat.round.base_model.digest}"),
        ("POST", f"{base}/update"),
        ("HEAD", f"{base}/update"),
        ("PATCH", f"{base}/update"),
        ("PUT", f"{base}/update"),
        ("POST", f"{base}/progress"),
    ):
        answer = raw(method, path, b"x", by="anna", headers=headers)
        assert answer.status < 500, (method, path, answer.body)
        assert answer.status < 400 or method == "HEAD" or answer.json()["detail"]
        assert len(answer.body) < 20_000 or method == "GET"


@PROPERTY
@given(headers=odd_headers)
def test_any_header_of_a_stranger_gets_an_answer(db, call, raw, headers):
    browser = Browser(raise_request_exception=False)
    for at in ("/", "/sign-in/", "/clients/?page=1", "/api/v1/sessions", "/admin/login/", "/nothing"):
        assert browser.get(at, headers=headers).status_code < 500, at
    for method, path in (("POST", "/clients/me/leave"), ("GET", "/sessions"), ("POST", "/enroll")):
        assert call(method, path, {}, headers=headers).status_code < 500, path
    assert raw("GET", "/api/v1/work", headers=headers).status < 500
    assert raw("GET", f"/api/v1/models/{'a' * 64}", headers=headers).status < 500


@pytest.mark.parametrize("cookie", ['fl_session="\\000aaaaaaa"', "theme=\x00", "fl_csrf=\\000"])
def test_a_cookie_with_a_nul_is_answered_in_words(db, cookie):
    answer = Browser().get("/sign-in/?next=/", headers={"Cookie": cookie})
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize("at", ["/clients/?q=%00", "/sign-in/?next=%00", "/api/v1/sessions?after=%00", "/a%00b"])
def test_an_address_with_a_nul_is_no_address(db, at):
    answer = Browser().get(at)
    assert answer.status_code == 400
    assert b"no address or cookie" in answer.content or answer["Content-Type"] == "application/problem+json"


@PROPERTY
@given(said=st.dictionaries(st.sampled_from([*info.Info.model_fields, "other"]), json_values()) | json_values())
def test_any_json_in_info_is_taken_or_refused_and_the_client_stays(enrol, call, said):
    if not Client.objects.exists():
        enrol("anna", num_examples=5)
    answer = call("POST", "/clients/me/info", {"info": said}, token=token_of("anna"))
    assert answer.status_code in (200, 400, 422), answer.content
    kept = Client.objects.get(name="anna")
    json.dumps(kept.info, allow_nan=False)
    assert kept.num_examples is None or 0 <= kept.num_examples <= info.MOST_COUNT


@PROPERTY
@given(
    step=st.integers(-1, 2**63) | odd_numbers,
    value=st.floats() | odd_numbers | st.none(),
    fraction=st.floats() | odd_numbers,
    time=st.datetimes().map(lambda at: f"{at.isoformat()}Z")
    | st.sampled_from(["", "9999-12-31T23:59:59-14:00", "1e9"]),
)
def test_any_number_and_any_time_is_taken_in_its_range_or_refused(
    open_round, raw, operator, key, step, value, fraction, time
):
    if not Participation.objects.exists():
        open_round("anna", "ben")
    seat = seat_of("anna")
    body = {
        "phase": "training",
        "fraction": fraction,
        "metrics": [{"name": "loss", "step": step, "value": value, "time": time}],
    }
    answer = raw("POST", f"/api/v1/participations/{seat.pk}/progress", json.dumps(body).encode(), by="anna")
    assert answer.status in (200, 400, 422), answer.body
    for point in Metric.objects.all():
        assert seat.taken_at is None or seat.taken_at <= point.time
    for what in ("metrics", "events"):
        assert operator("GET", f"/sessions/{seat.round.session_id}/{what}").status_code == 200
    assert raw("GET", f"/api/v1/sessions/{seat.round.session_id}/metrics?format=csv", token=key).status == 200


def test_a_reason_turns_no_text_around(open_round, call):
    open_round("anna", "ben")
    seat = seat_of("anna")
    answer = call(
        "POST", f"/participations/{seat.pk}/fail", {"reason": "\u202eno\x07 disk\nat all"}, token=token_of("anna")
    )
    assert answer.status_code == 200
    assert seat_of("anna").reason == "?no? disk\nat all"
