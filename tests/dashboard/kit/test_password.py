"""The password is asked for again before an act that only staff may do, and what was sent is not lost by it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.models import Client, GlobalModel, Invitation, ModelTag, SignIn, TrainingSession
from federation.services import signins
from tests.dashboard.cast import HTMX

RIGHT, WRONG = {"password-again": "correct-horse"}, {"password-again": "battery-staple"}


@pytest.fixture
def long_ago(browser: Browser) -> Browser:
    """Mara's browser, ten minutes after she signed in."""
    entered(browser, timedelta(minutes=10))
    return browser


def entered(browser: Browser, ago: timedelta) -> None:
    session = browser.session
    signins.mark_entered(session, now=timezone.now() - ago)
    session.save()


def asks(answer: HttpResponse) -> bool:
    return "Enter your password again" in answer.content.decode()


def fields(answer: HttpResponse) -> list[tuple[str, str]]:
    """The hidden fields of the form that asks."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', answer.content.decode())
    return [(html.unescape(name), html.unescape(value)) for name, value in found if name != "csrfmiddlewaretoken"]


def test_nobody_is_asked_within_ten_minutes(browser: Browser) -> None:
    entered(browser, timedelta(minutes=9, seconds=55))
    assert browser.get(reverse("invite")).status_code == 200
    assert browser.post(reverse("invite"), {"uses": 1, "expires": 86400}).status_code == 200
    assert Invitation.objects.count() == 1


@pytest.mark.parametrize("ago", [timedelta(minutes=10), timedelta(days=2), timedelta(minutes=-1)])
def test_after_ten_minutes_and_with_a_clock_set_back_one_is_asked(browser: Browser, ago: timedelta) -> None:
    entered(browser, ago)
    answer = browser.get(reverse("invite"))
    assert answer.status_code == 403 and asks(answer)
    assert "make or revoke invitations" in answer.content.decode()


def test_a_session_of_an_earlier_version_is_asked(browser: Browser) -> None:
    session = browser.session
    del session[signins.ENTERED]
    session.save()
    assert asks(browser.get(reverse("invite")))


def test_a_question_comes_after_the_password(long_ago: Browser, running: TrainingSession) -> None:
    client = Client.objects.get(name="anna")
    address = reverse("client_remove", args=[client.pk])
    asked = long_ago.get(address)
    assert asks(asked) and fields(asked) == [("password-then-look", "1")]
    answer = long_ago.post(address, dict(fields(asked)) | RIGHT)
    assert answer.status_code == 303 and answer["Location"] == address
    assert "Remove anna?" in long_ago.get(address).content.decode()
    client.refresh_from_db()
    assert client.removed_at is None


def test_what_was_sent_is_done_after_the_password(long_ago: Browser) -> None:
    sent = {"uses": "3", "expires": "3600"}
    asked = long_ago.post(reverse("invite"), sent)
    assert asked.status_code == 403 and asks(asked) and dict(fields(asked)) == sent
    assert not Invitation.objects.exists()
    answer = long_ago.post(reverse("invite"), dict(fields(asked)) | RIGHT)
    assert answer.status_code == 200 and not asks(answer)
    assert Invitation.objects.get().uses == 3
    assert long_ago.get(reverse("invite")).status_code == 200  # and is not asked for ten minutes


def test_several_values_of_one_name_and_odd_ones_come_back_whole(long_ago: Browser) -> None:
    sent = {"uses": ["1", "2"], "note": 'a "b" <c>\r\n& d'}
    asked = long_ago.post(reverse("invite"), sent)
    assert fields(asked) == [("uses", "1"), ("uses", "2"), ("note", 'a "b" <c>\r\n& d')]


def test_a_wrong_password_does_nothing_and_asks_again(long_ago: Browser) -> None:
    sent = {"uses": "3", "expires": "3600"}
    answer = long_ago.post(reverse("invite"), sent | WRONG)
    assert answer.status_code == 422 and asks(answer) and dict(fields(answer)) == sent
    assert "This is not your password" in answer.content.decode() and "battery-staple" not in answer.content.decode()
    assert not Invitation.objects.exists()
    assert asks(long_ago.get(reverse("invite")))
    assert SignIn.objects.first().outcome == "wrong"


def test_a_question_that_was_asked_with_a_wrong_password_still_leads_to_the_question(long_ago: Browser) -> None:
    answer = long_ago.post(reverse("invite"), {"password-then-look": "1"} | WRONG)
    assert fields(answer) == [("password-then-look", "1")]
    assert long_ago.post(reverse("invite"), dict(fields(answer)) | RIGHT).status_code == 303
    assert not Invitation.objects.exists()


def test_who_guesses_the_password_of_an_open_browser_is_stopped(long_ago: Browser) -> None:
    for _ in range(signins.WRONG_OF_ONE):
        long_ago.post(reverse("invite"), WRONG)
    answer = long_ago.post(reverse("invite"), {"uses": "1", "expires": "3600"} | RIGHT)
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 800
    assert "Try again in 15 min" in answer.content.decode()
    assert not Invitation.objects.exists()


def test_the_password_of_somebody_else_does_not_do(long_ago: Browser, db: None) -> None:
    User.objects.create_user("eve", password="eves-password", is_staff=True)
    assert long_ago.post(reverse("invite"), {"password-again": "eves-password"}).status_code == 422


def test_a_dialog_shows_the_question_in_its_place(long_ago: Browser) -> None:
    for asked in (long_ago.get(reverse("invite"), headers=HTMX), long_ago.post(reverse("invite"), headers=HTMX)):
        assert asked.status_code == 200 and asks(asked)
        assert (asked["HX-Retarget"], asked["HX-Reswap"]) == ("#dialog-body", "innerHTML")
        assert "<html" not in asked.content.decode()
        assert asked["Cache-Control"] == "no-store"
    answer = long_ago.post(reverse("invite"), WRONG, headers=HTMX)
    assert answer.status_code == 422 and asks(answer)


def test_an_act_of_a_dialog_is_done_after_the_password(long_ago: Browser, running: TrainingSession) -> None:
    address = reverse("client_remove", args=[Client.objects.get(name="anna").pk])
    answer = long_ago.post(address, RIGHT, headers=HTMX)
    assert answer.status_code == 204
    assert Client.objects.get(name="anna").removed_at is not None


@pytest.mark.parametrize("name", ["session_delete", "client_reissue", "client_remove", "invitation_revoke"])
def test_nothing_is_done_or_told_before_the_password(long_ago: Browser, running: TrainingSession, name: str) -> None:
    before = (Client.objects.filter(removed_at=None).count(), Invitation.objects.count())
    for answer in (long_ago.get(reverse(name, args=[1])), long_ago.post(reverse(name, args=[1]))):
        assert asks(answer)
    assert before == (Client.objects.filter(removed_at=None).count(), Invitation.objects.count())


def test_what_is_in_production_takes_the_password_and_other_tags_do_not(
    long_ago: Browser, running: TrainingSession
) -> None:
    model = GlobalModel.objects.get()
    long_ago.post(reverse("model_tag", args=[model.pk]), {"tag": "candidate"})
    assert asks(long_ago.post(reverse("model_tag", args=[model.pk]), {"tag": "production"}))
    assert [tag.name for tag in ModelTag.objects.all()] == ["candidate"]
    long_ago.post(reverse("model_tag", args=[model.pk]), {"tag": "production"} | RIGHT)
    assert ModelTag.objects.filter(name="production").exists()


def test_what_operators_do_takes_no_password(long_ago: Browser, running: TrainingSession) -> None:
    assert long_ago.post(reverse("session_pause", args=[running.pk])).status_code == 302
    running.refresh_from_db()
    assert running.status == "paused"


def test_the_api_of_an_open_browser_wants_it_too(long_ago: Browser) -> None:
    answer = long_ago.post("/api/v1/invitations", {}, "application/json")
    assert answer.status_code == 403
    assert "the password was entered too long ago" in answer.json()["detail"]
    entered(long_ago, timedelta(0))
    assert long_ago.post("/api/v1/invitations", {}, "application/json").status_code == 201


def test_a_change_in_the_admin_takes_it_and_a_look_does_not(db: None) -> None:
    root = User.objects.create_superuser("root", password="correct-horse")
    browser = Browser()
    browser.force_login(root)
    entered(browser, timedelta(hours=1))
    assert browser.get(reverse("admin:auth_user_changelist")).status_code == 200
    sent = {"action": "delete_selected", "_selected_action": [str(root.pk)], "index": "0"}
    asked = browser.post(reverse("admin:auth_user_changelist"), sent)
    assert asked.status_code == 403 and asks(asked)
    assert dict(fields(asked)) == sent | {"_selected_action": str(root.pk)}
    answer = browser.post(reverse("admin:auth_user_changelist"), sent | RIGHT)
    assert "Are you sure" in answer.content.decode()


def test_the_form_carries_the_token_against_forgery(mara: User) -> None:
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(mara)
    entered(browser, timedelta(hours=1))
    assert "csrfmiddlewaretoken" in browser.get(reverse("invite")).content.decode()
    assert "This page was too old" in browser.post(reverse("invite"), RIGHT).content.decode()
    assert signins.entered_at(browser.session) < timezone.now() - timedelta(minutes=10)


def test_a_change_of_the_password_counts_as_entering_it(long_ago: Browser, mara: User) -> None:
    new = "battery-staple-9"
    typed = {"old_password": "correct-horse", "new_password1": new, "new_password2": new}
    assert long_ago.post(reverse("password"), typed).status_code == 302
    assert not asks(long_ago.get(reverse("invite")))


def test_a_stranger_is_not_asked_for_a_password_again(stranger: Browser) -> None:
    answer: Any = stranger.post(reverse("invite"), RIGHT)
    assert answer.status_code == 302 and answer["Location"].startswith(reverse("login"))


def test_a_question_of_a_query_is_led_back_to_whole(long_ago: Browser, running: TrainingSession) -> None:
    model = GlobalModel.objects.get()
    ModelTag.objects.create(model=model, name="production")
    address = reverse("model_untag", args=[model.pk]) + "?tag=production"
    asked = long_ago.get(address)
    assert asks(asked) and ("tag", "production") in fields(asked)
    assert long_ago.post(address, dict(fields(asked)) | WRONG).status_code == 422
    answer = long_ago.post(address, dict(fields(asked)) | RIGHT)
    assert (answer.status_code, answer["Location"]) == (303, address)
    assert "Take production off" in long_ago.get(address).content.decode()
