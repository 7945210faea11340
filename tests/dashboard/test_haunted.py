"""Whatever is in the database already, every page, list, fragment, chart and file answers and shows the good client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client as Browser
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import curves
from federation.models import AlertRule, Client, ModelUpload, TrainingSession
from federation.services import apikeys
from federation.services.clients import invitations
from tests.dashboard import addresses
from tests.dashboard.haunted import make_haunted

Ids = dict[str, int | str]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The settings of what was stored with it."""
    folder = tmp_path_factory.mktemp("haunted")
    return {f"FL_{name.upper()}_DIR": folder / name for name in ("weights", "scratch", "uploads", "converted")}


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any, folders: dict[str, Path]) -> Iterator[TrainingSession]:
    """It is made once, for it takes long; each test undoes what it does itself."""
    with django_db_blocker.unblock(), transaction.atomic():
        with override_settings(**folders):
            session = make_haunted(User.objects.create_user("mara", is_staff=True))
        yield session
        transaction.set_rollback(True)


@pytest.fixture
def haunted(made: TrainingSession, folders: dict[str, Path], db: None, settings: Any) -> TrainingSession:
    for name, folder in folders.items():
        setattr(settings, name, folder)
    return TrainingSession.objects.get(pk=made.pk)


@pytest.fixture
def mara(made: TrainingSession, db: None) -> User:
    return User.objects.get(username="mara")


@pytest.fixture
def ids(haunted: TrainingSession, mara: User) -> Ids:
    invitation, _ = invitations.create(uses=1, expires_in_seconds=None, by=None, now=timezone.now())
    return {
        "session_id": haunted.pk,
        "client_id": Client.objects.get(name="anna").pk,
        "model_id": haunted.models.latest("version").pk,
        "invitation_id": invitation.pk,
        "rule_id": AlertRule.objects.latest("pk").pk,
        "key_id": apikeys.create(mara)[0].pk,
        "upload_id": ModelUpload.objects.create(name="mine", digest="0" * 64).pk,
        "workload": "told",
    }


def test_every_page_and_fragment_answers(browser: Browser, ids: Ids) -> None:
    browser.raise_request_exception = False
    answers = {at: browser.get(at).status_code for at in addresses.all_of(ids)}
    assert {at: status for at, status in answers.items() if status not in (200, 204, 302, 405)} == {}


def test_every_odd_client_has_its_page(browser: Browser, ids: Ids) -> None:
    for client in Client.objects.exclude(name="anna"):
        for name in ("client", "client_parts", "client_log", "client_disable", "client_remove"):
            assert browser.get(reverse(name, args=[client.pk])).status_code == 200, (name, client.info)


def test_the_good_client_is_shown(browser: Browser, ids: Ids) -> None:
    for name in ("session", "session_round", "session_data", "session_timeline", "clients", "find"):
        at = reverse(name, args=[ids["session_id"]] if name.startswith("session") else [])
        assert "anna" in browser.get(at).content.decode(), name


def test_every_way_to_look_at_it_answers(browser: Browser, ids: Ids) -> None:
    session = f"/sessions/{ids['session_id']}"
    ways = {
        "/clients/": ("sort=name", "sort=examples", "sort=late", "state=away", "q=odd", "q=gpu"),
        f"{session}/events/": ("show=problems", "show=people", "find=anna", "find=x&deep=1", "lines=2000"),
        f"{session}/data/": ("by=norm", "by=cosine", "by=examples"),
        "/models/": ("sort=accuracy", "sort=loss", "sort=size", "workload=synthetic"),
        "/compare/": (f"s={ids['session_id']}&metric=__proto__", f"s={ids['session_id']}&x=bytes"),
        "/activity/": ("area=clients", "by=mara"),
    }
    for at, queries in ways.items():
        for query in queries:
            assert browser.get(f"{at}?{query}").status_code == 200, f"{at}?{query}"


@pytest.mark.parametrize("large", [False, True])
def test_the_good_clients_curve_goes_on(
    browser: Browser, ids: Ids, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(curves, "WHOLE", 3)
        monkeypatch.setattr(curves, "DRAWN", 60)
    for query in ("smooth=0&timed=1", "smooth=0.999999&from=0&to=1e300", "metric=__proto__", ""):
        answer = browser.get(f"/sessions/{ids['session_id']}/points/?{query}")
        points = json.loads(answer.content, parse_constant=_refuse)
        mine = [seat for seat in points["seats"] if seat["client"] == str(ids["client_id"]) and seat["round"] == 2]
        if "metric" not in query or not large:
            assert mine[0]["series"]["train_loss"][:2] == [[1, 2], [0.75, 0.5]]


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON: no browser reads it")


def test_every_list_of_the_api_answers(browser: Browser, ids: Ids) -> None:
    session = f"/api/v1/sessions/{ids['session_id']}"
    of_one = [f"{session}/{what}?limit=1000" for what in ("rounds", "events", "metrics", "models")]
    for at in (session, *of_one, "/api/v1/sessions?limit=1000", "/api/v1/clients?limit=1000"):
        answer = browser.get(at)
        assert answer.status_code == 200, at
        json.loads(answer.content, parse_constant=_refuse)


def test_what_pages_hand_to_their_scripts_is_json(browser: Browser, ids: Ids) -> None:
    session, client = ids["session_id"], ids["client_id"]
    for at in (f"/sessions/{session}/", f"/clients/{client}/", f"/compare/?s={session}", f"/models/{ids['model_id']}/"):
        text = browser.get(at).content.decode()
        for script in text.split('type="application/json">')[1:]:
            json.loads(script.partition("</script>")[0], parse_constant=_refuse)


def test_the_lists_of_the_admin_answer(browser: Browser, ids: Ids, mara: object) -> None:
    mara.is_staff = mara.is_superuser = True  # type: ignore[attr-defined]
    mara.save()  # type: ignore[attr-defined]
    for model in admin.site._registry:
        if model._meta.app_label == "federation":
            at = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            for query in ("", "?q=x", "?nonsense=1", "?p=99999999999", "?o=99.x", "?e=1"):
                assert browser.get(at + query).status_code in (200, 302), at + query
