"""No address and no form field breaks a page: the walk covers every pattern and every parameter, also later ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIRequest
from django.db import transaction
from django.http import QueryDict
from django.test import Client as Browser
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.models import AlertRule, ModelUpload, TrainingSession
from federation.services import apikeys
from federation.services.clients import invitations
from tests.dashboard import addresses
from tests.dashboard.cast import finish_round, stream
from tests.properties import PROPERTY

ODD = [
    "", "abc", "0", "-1", "1e400", "²", "9" * 18, "9" * 5000, "1:1", "9" * 16 + ":" + "9" * 16, "1,x,2",
    "a\u202e'\"<b>", "a\x00b",
]  # fmt: skip
BROKEN = ["%ED%A0%80%FF", "%=&=&&;[b]=c"]  # of an address, as it is
Ids = dict[str, int | str]


@pytest.fixture
def ids(running: TrainingSession, enrol: Callable[..., object], mara: User) -> Ids:
    stream(running, "anna", [2.0, 1.0])
    finish_round(running, "anna", "ben", "carl", train_loss=1.0, val_accuracy=0.5)
    invitation, _ = invitations.create(uses=1, expires_in_seconds=None, by=None, now=timezone.now())
    model, seat = running.models.latest("pk"), running.round_set.first().seats.first()
    rule = AlertRule.objects.create(kind=AlertRule.Kind.ROUND_FAILED)
    return {
        "session_id": running.pk, "client_id": seat.client_id, "model_id": model.pk,
        "invitation_id": invitation.pk, "rule_id": rule.pk, "key_id": apikeys.create(mara)[0].pk,
        "upload_id": ModelUpload.objects.create(name="mine", digest="0" * 64).pk, "workload": "synthetic",
    }  # fmt: skip


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The paths of requests that looked at what the address asks for."""
    paths: set[str] = set()
    parse = WSGIRequest.GET.func

    def query(request: WSGIRequest) -> QueryDict:
        paths.add(request.path)
        if "GET" not in request.__dict__:
            request.__dict__["GET"] = parse(request)
        return request.__dict__["GET"]

    monkeypatch.setattr(WSGIRequest, "GET", property(query))
    return paths


def test_no_query_breaks_a_page(browser: Browser, ids: Ids, read: set[str]) -> None:
    """Where the first two are not read, neither are the others."""
    browser.raise_request_exception = False
    names = addresses.parameters()
    queries = ["&".join(f"{name}={odd}" for name in names) for odd in BROKEN]
    queries += [urlencode(dict.fromkeys(names, odd)) for odd in ODD]
    for at in addresses.all_of(ids):
        for number, query in enumerate(queries):
            if number == 2 and at not in read:
                break
            assert browser.get(f"{at}?{query}").status_code < 500, f"{at}?{query}"
    assert {"/sessions/", f"/sessions/{ids['session_id']}/", "/compare/"} <= read and "/password/" not in read


def test_no_form_field_breaks_an_act(browser: Browser, ids: Ids) -> None:
    browser.raise_request_exception = False
    names = addresses.fields()
    for at in addresses.all_of(ids):
        for odd in ODD:
            with transaction.atomic():
                assert browser.post(at, dict.fromkeys(names, odd)).status_code < 500, (at, odd)
                transaction.set_rollback(True)


def test_what_is_not_there_is_not_found(browser: Browser, ids: Ids) -> None:
    browser.raise_request_exception = False
    for number in (0, 999_999, 10**18 - 1):
        for at in addresses.with_ids(dict.fromkeys(ids, number)):
            assert browser.get(at).status_code in (302, 404, 405), at
            assert browser.post(at).status_code in (302, 404, 405), at


@settings(PROPERTY, max_examples=10)
@given(query=st.dictionaries(st.sampled_from(addresses.parameters()), st.text(max_size=30) | st.integers().map(str)))
def test_whatever_is_asked_for_the_large_pages_answer(browser: Browser, ids: Ids, query: dict[str, str]) -> None:
    browser.raise_request_exception = False
    asked = urlencode(query, errors="replace")
    for at in (
        f"/sessions/{ids['session_id']}/",
        f"/sessions/{ids['session_id']}/points/",
        "/clients/",
        "/sessions/new/",
    ):
        assert browser.get(f"{at}?{asked}").status_code in (200, 404)


def test_a_new_session_begins_with_good_settings_where_the_address_makes_no_sense(browser: Browser, ids: Ids) -> None:
    for query in ("from=abc", "from=", "start=", "preset=unknown", "from=²"):
        assert browser.get(f"/sessions/new/?{query}").context["chosen"] == "balanced", query


def test_a_session_or_model_to_begin_with_that_is_not_there_is_not_found(browser: Browser, ids: Ids) -> None:
    for query in ("from=999999", "start=999999:1", "start=x", "start=:"):
        assert browser.get(f"/sessions/new/?{query}").status_code == 404, query


def test_every_address_and_form_field_is_read_in_one_place() -> None:
    for file, text in addresses.sources():
        if file.name in ("parameters.py", "password.py"):  # the second passes on what was sent, as it was sent
            continue
        bare = re.sub(r"\w*Form\(request\.(?:GET|POST)", "", text)
        assert not re.search(r"request\.(GET|POST)\b|\.isdecimal\(|\.isdigit\(", bare), file


def test_the_walk_knows_the_parameters() -> None:
    assert {"q", "state", "sort", "page", "from", "start", "upto", "rows", "smooth", "clients", "m", "s", "tag"} <= set(
        addresses.parameters()
    )
