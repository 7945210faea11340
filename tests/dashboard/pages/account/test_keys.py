"""API keys on their page, and what their expiry and last use are worth."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation import access
from federation.errors import Conflict, Invalid
from federation.models import ApiKey
from federation.services import apikeys, signins
from tests.dashboard.markup import compact


def ask(secret: str) -> HttpResponse:
    return Browser().get("/api/v1/sessions", headers={"authorization": f"Bearer {secret}"})


@pytest.fixture
def nora(db: None) -> User:
    """An operator."""
    return User.objects.create_user("nora", password="battery-staple")


@pytest.fixture
def noras(nora: User) -> Browser:
    browser = Browser()
    browser.force_login(nora)
    return browser


def test_a_key_is_made_shown_once_used_and_revoked(noras: Browser, nora: User) -> None:
    answer = noras.post(reverse("key_new"), {"name": "nightly report", "days": 30})
    assert answer.status_code == 201 and answer["Cache-Control"] == "no-store"
    (secret,) = re.findall(r"<code>(flk_[^<…]+)</code>", answer.content.decode())
    key = ApiKey.objects.get()
    assert (key.user, key.name, key.may_administer) == (nora, "nightly report", False)
    assert key.expires_at is not None and abs(key.expires_at - timezone.now() - timedelta(days=30)) < timedelta(
        minutes=1
    )
    assert ask(secret).status_code == 200
    page = noras.get(reverse("keys")).content.decode()
    assert "nightly report" in page and secret not in page
    assert "Revoke the key nightly report?" in noras.get(reverse("key_revoke", args=[key.pk])).content.decode()
    assert noras.post(reverse("key_revoke", args=[key.pk])).status_code == 302
    assert ask(secret).status_code == 401
    again = noras.get(reverse("key_revoke", args=[key.pk]), follow=True)
    assert again.redirect_chain == [(reverse("keys"), 302)] and "is already revoked" in again.content.decode()
    assert "nightly report" not in noras.get(reverse("keys")).content.decode()


def test_an_expired_key_is_told_so(nora: User) -> None:
    key, secret = apikeys.create(nora)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = ask(secret)
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith(f"This API key expired on {timezone.now():%d %B %Y}.")
    assert apikeys.user_of(secret) is None
    assert not apikeys.usable(timezone.now()).exists()


def test_a_key_lasts_a_year_unless_told_otherwise(nora: User) -> None:
    now = timezone.now()
    assert apikeys.create(nora, now=now)[0].expires_at == now + timedelta(days=365)
    assert apikeys.create(nora, days=None)[0].expires_at is None


@pytest.mark.parametrize("change", [{"days": 0}, {"days": 3651}, {"name": "x" * 61}, {"name": "a\nb"}, {"name": "a\0"}])
def test_what_is_out_of_range_is_refused_by_name(change: dict[str, Any], nora: User, noras: Browser) -> None:
    with pytest.raises(Invalid, match="choose|Use up to"):
        apikeys.create(nora, **change)
    answer = noras.post(reverse("key_new"), {"name": "x", "days": 1} | change)
    assert answer.status_code == 422 and "is-bad" in answer.content.decode()
    [field] = re.findall(r"<input[^>]* autofocus[^>]*>", compact(answer.content.decode()))
    assert f'name="{next(iter(change))}"' in field  # where the browser goes, far down as it may be
    assert not ApiKey.objects.exists()


def test_nobody_has_endless_keys(nora: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apikeys, "MOST", 2)
    first, _ = apikeys.create(nora)
    apikeys.create(nora)
    with pytest.raises(Conflict, match="has 2 valid keys"):
        apikeys.create(nora)
    apikeys.revoke(first, now=timezone.now())
    apikeys.create(nora)


def test_the_last_use_is_written_once_a_minute(nora: User, django_assert_num_queries: Any) -> None:
    _, secret = apikeys.create(nora)
    now = timezone.now()
    apikeys.find(secret, now=now)
    with django_assert_num_queries(1):
        apikeys.find(secret, now=now + timedelta(seconds=59))
    assert ApiKey.objects.get().last_used_at == now
    apikeys.find(secret, now=now + timedelta(seconds=61))
    assert ApiKey.objects.get().last_used_at == now + timedelta(seconds=61)


def test_staff_revoke_the_keys_of_others_with_their_password(
    browser: Browser, noras: Browser, nora: User, mara: User
) -> None:
    key, secret = apikeys.create(nora, name="report")
    marked, _ = apikeys.create(mara, name="maras")
    assert "report" in browser.get(reverse("keys")).content.decode()
    assert "maras" not in noras.get(reverse("keys")).content.decode()
    assert noras.post(reverse("key_revoke", args=[marked.pk])).status_code == 403
    session = browser.session
    signins.mark_entered(session, now=timezone.now() - timedelta(hours=1))
    session.save()
    assert browser.post(reverse("key_revoke", args=[key.pk])).status_code == 403
    assert ask(secret).status_code == 200
    assert browser.post(reverse("key_revoke", args=[key.pk]), {"password-again": "correct-horse"}).status_code == 302
    assert ask(secret).status_code == 401


def test_a_key_that_administers_is_made_by_staff_with_their_password(browser: Browser, noras: Browser) -> None:
    typed = {"name": "setup", "days": 1, "may_administer": "on"}
    assert noras.post(reverse("key_new"), typed).status_code == 403
    assert "administer" not in noras.get(reverse("keys")).content.decode().lower()
    session = browser.session
    signins.mark_entered(session, now=timezone.now() - timedelta(hours=1))
    session.save()
    assert browser.post(reverse("key_new"), typed).status_code == 403
    assert not ApiKey.objects.exists()
    assert browser.post(reverse("key_new"), typed | {"password-again": "correct-horse"}).status_code == 201
    assert ApiKey.objects.get().may_administer


def test_a_viewer_sees_own_keys_and_makes_none(noras: Browser, nora: User) -> None:
    key, _ = apikeys.create(nora, name="old")
    nora.groups.add(Group.objects.get_or_create(name=access.VIEWERS)[0])
    page = noras.get(reverse("keys")).content.decode()
    assert "old" in page and "Make a key" not in page and "Revoke" not in page.replace('<span class="sr">Revoke', "")
    assert noras.post(reverse("key_new"), {"name": "x", "days": 1}).status_code == 403
    assert noras.post(reverse("key_revoke", args=[key.pk])).status_code == 403
