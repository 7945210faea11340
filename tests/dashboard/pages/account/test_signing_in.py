"""Signing in: who guesses has to wait, nobody is kept out by somebody else, and what happened is noted."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from federation import passwords
from federation.models import SignIn
from federation.services import apikeys, signins

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"


def sign_in(password: str, *, name: str = "mara", address: str = HERE, browser: Browser | None = None) -> HttpResponse:
    typed = {"username": name, "password": password, "next": "/clients/"}
    return (browser or Browser()).post(reverse("login"), typed, REMOTE_ADDR=address)


def guess(times: int, **how: Any) -> None:
    for _ in range(times):
        assert sign_in("wrong", **how).status_code == 200


def earlier(ago: timedelta) -> None:
    SignIn.objects.update(time=timezone.now() - ago)


def test_who_guesses_has_to_wait_although_the_password_is_right_in_the_end(mara: User) -> None:
    guess(signins.WRONG_OF_ONE)
    answer = sign_in("correct-horse")
    assert answer.status_code == 429
    assert 890 < int(answer["Retry-After"]) <= 900
    page = answer.content.decode()
    assert "Too many wrong passwords came from here. Try again in 15 min." in page
    assert 'value="mara"' in page and 'value="/clients/"' in page
    assert "no-store" in answer["Cache-Control"]


def test_the_wait_ends_although_somebody_goes_on_trying(mara: User) -> None:
    guess(signins.WRONG_OF_ONE)
    for _ in range(10):
        assert sign_in("wrong").status_code == 429
    assert SignIn.objects.filter(outcome="wrong").count() == signins.WRONG_OF_ONE
    earlier(signins.COOL_OFF)
    assert sign_in("correct-horse").status_code == 302


def test_nobody_is_locked_out_from_elsewhere(mara: User) -> None:
    guess(signins.WRONG_OF_ONE, address=ELSEWHERE)
    assert sign_in("wrong", address=ELSEWHERE).status_code == 429
    assert sign_in("correct-horse").status_code == 302


def test_others_sign_in_from_the_same_address(mara: User) -> None:
    User.objects.create_user("nora", password="battery-staple")
    guess(signins.WRONG_OF_ONE)
    assert sign_in("battery-staple", name="nora").status_code == 302


def test_a_right_password_begins_the_count_anew(mara: User) -> None:
    for _ in range(3):
        guess(signins.WRONG_OF_ONE - 1)
        assert sign_in("correct-horse").status_code == 302


def test_an_address_that_tries_many_names_is_locked_for_all_of_them(mara: User) -> None:
    for number in range(signins.WRONG_OF_ADDRESS):
        sign_in("wrong", name=f"name-{number}")
    assert sign_in("correct-horse").status_code == 429
    assert sign_in("correct-horse", address=ELSEWHERE).status_code == 302
    assert SignIn.objects.filter(outcome="wrong").count() == signins.WRONG_OF_ADDRESS


def test_the_admin_goes_through_the_same_brake(mara: User) -> None:
    for _ in range(signins.WRONG_OF_ONE):
        Browser().post(reverse("login") + "?next=/admin/", {"username": "mara", "password": "x"}, REMOTE_ADDR=HERE)
    assert sign_in("correct-horse").status_code == 429
    answer = Browser().post(reverse("admin:login"), {"username": "mara", "password": "correct-horse"})
    assert answer.status_code == 302 and answer["Location"].startswith(reverse("login"))


def test_a_change_of_the_password_is_no_way_to_guess_it(mara: User, browser: Browser) -> None:
    new = {"new_password1": "battery-staple-9", "new_password2": "battery-staple-9"}
    for _ in range(signins.WRONG_OF_ONE):
        assert browser.post(reverse("password"), {"old_password": "wrong"} | new).status_code == 200
    answer = browser.post(reverse("password"), {"old_password": "correct-horse"} | new)
    assert answer.status_code == 429 and "Retry-After" in answer
    mara.refresh_from_db()
    assert mara.check_password("correct-horse")


def test_few_passwords_are_hashed_at_a_time_and_the_others_come_again(
    mara: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most, go_on = [0], [0], threading.Event()
    ready = threading.Barrier(passwords.AT_A_TIME + 1, timeout=20)

    def hash_slowly() -> None:
        with passwords.a_place():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            if not go_on.is_set():
                ready.wait()
                go_on.wait(20)
            inside[0] -= 1

    threads = [threading.Thread(target=hash_slowly) for _ in range(passwords.IN_THE_ROOM)]
    for thread in threads:
        thread.start()
    ready.wait()
    while passwords._room._value:  # type: ignore[attr-defined]
        pass
    monkeypatch.setattr(User, "check_password", lambda *_: pytest.fail("hashed"))
    answer = sign_in("correct-horse")
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert answer.status_code == 503 and answer["Retry-After"] == "2"
    assert "Many people are signing in" in answer.content.decode()
    assert most[0] == passwords.AT_A_TIME
    assert not SignIn.objects.exists()


def test_what_happened_is_noted(mara: User) -> None:
    browser = Browser(headers={"user-agent": "Firefox\0" + "x" * 500})
    sign_in("wrong", browser=browser)
    sign_in("correct-horse", browser=browser)
    browser.post(reverse("logout"), REMOTE_ADDR=HERE)
    rows = SignIn.objects.order_by("pk").values_list("outcome", "username", "address")
    assert list(rows) == [(outcome, "mara", HERE) for outcome in ("wrong", "signed_in", "signed_out")]
    assert SignIn.objects.latest("pk").browser == "Firefox" + "x" * 193


def test_what_was_typed_in_place_of_a_name_is_kept_short_and_the_password_never(mara: User) -> None:
    guess(signins.WRONG_OF_ONE, name="x" * 5000)
    assert sign_in("a-secret", name="x" * 5000).status_code == 429
    assert {row.username for row in SignIn.objects.all()} == {"x" * 150}
    assert "a-secret" not in str(list(SignIn.objects.values()))


def test_the_log_tells_too(mara: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "federation.services.signins"):
        sign_in("wrong", name="mara\nroot")
        sign_in("correct-horse")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "wrong name or password: 'mara\\nroot' from 203.0.113.7" in caplog.text


def test_old_sign_ins_go_and_only_so_many_stay(mara: User, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    SignIn.objects.bulk_create(SignIn(outcome="wrong", time=now - timedelta(days=days)) for days in (100, 91, 2, 1, 0))
    assert signins.prune(now=now) == 2
    monkeypatch.setattr(signins, "KEPT", 2)
    assert signins.prune(now=now) == 1
    assert [(now - row.time).days for row in SignIn.objects.all()] == [0, 1]


def test_the_table_is_bounded_while_it_is_written(mara: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signins, "KEPT", 3)
    monkeypatch.setattr(signins, "PRUNED_EVERY", 1)
    for number in range(9):
        sign_in("wrong", name=f"name-{number}")
    assert SignIn.objects.count() <= 4


@pytest.mark.parametrize(
    ("proxy", "peer", "forwarded", "address"),
    [
        (False, "203.0.113.7", "198.51.100.9", "203.0.113.7"),
        (True, "127.0.0.1", "10.0.0.1, 198.51.100.9", "198.51.100.9"),
        (True, "127.0.0.1", "made up", ""),
        (True, "203.0.113.7", "", "203.0.113.7"),
        (False, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        (False, "::ffff:203.0.113.7", "", "203.0.113.7"),
        (False, "", "", ""),
    ],
)
def test_where_somebody_comes_from(settings: Any, proxy: bool, peer: str, forwarded: str, address: str) -> None:
    settings.FL_BEHIND_PROXY = proxy
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    assert signins.address_of(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)) == address


def test_who_guesses_api_keys_has_to_wait_and_a_right_one_works(mara: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signins, "WRONG_OF_ADDRESS", 3)
    _, key = apikeys.create(mara)

    def ask(key: str) -> HttpResponse:
        return Browser().get("/api/v1/sessions", headers={"authorization": f"Bearer {key}"})

    assert [ask(f"flk_{n}").status_code for n in range(5)] == [401, 401, 401, 429, 429]
    answer = ask("flk_guessed")
    assert answer["Retry-After"] and answer.json()["title"] == "Wrong too often"
    assert SignIn.objects.filter(outcome="wrong_key").count() == 3
    assert ask(key).status_code == 200
    assert sign_in("correct-horse").status_code == 302


def test_a_new_password_ends_the_other_browsers(mara: User) -> None:
    mine, other = Browser(), Browser()
    for browser in (mine, other):
        assert sign_in("correct-horse", browser=browser).status_code == 302
    new = {"new_password1": "battery-staple-9", "new_password2": "battery-staple-9"}
    assert mine.post(reverse("password"), {"old_password": "correct-horse"} | new).status_code == 302
    assert mine.get("/clients/").status_code == 200
    assert other.get("/clients/").status_code == 302


def test_the_sign_in_page_and_its_cookie_are_careful(mara: User, stranger: Browser) -> None:
    assert "no-store" in stranger.get(reverse("login"))["Cache-Control"]
    sign_in("correct-horse", browser=stranger)
    cookie = stranger.cookies["fl_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 24 * 3600)


def test_staff_read_the_sign_ins_in_the_admin(mara: User) -> None:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    sign_in("wrong", name="somebody")
    assert "somebody" in browser.get(reverse("admin:federation_signin_changelist")).content.decode()
    assert browser.get(reverse("admin:federation_signin_add")).status_code == 403
