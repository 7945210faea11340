import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import URLPattern, reverse

from federation.models import TrainingSession
from flsite.urls import urlpatterns as roots
from tests.dashboard.cast import HTMX

OPEN = {"login", "logout", "first_account"}
urlpatterns = roots[-1].url_patterns
GUARDED = [pattern for pattern in urlpatterns if pattern.name not in OPEN]
ACTS = [
    "first_launch", "session_check", "session_start", "session_pause", "session_resume",
    "session_again", "round_extend", "client_enable",
]  # fmt: skip


def address(pattern: URLPattern) -> str:
    return reverse(str(pattern.name), args=[1] * len(pattern.pattern.converters))


@pytest.mark.parametrize("pattern", GUARDED, ids=lambda pattern: pattern.name)
def test_a_stranger_is_sent_to_sign_in_and_comes_back(stranger: Browser, pattern: URLPattern) -> None:
    for answer in (stranger.get(address(pattern)), stranger.post(address(pattern))):
        assert answer.status_code == 302
        assert answer["Location"] == f"{reverse('login')}?next={address(pattern)}"


@pytest.mark.parametrize("pattern", GUARDED, ids=lambda pattern: pattern.name)
def test_a_fragment_asked_for_by_a_stranger_sends_the_whole_page_to_sign_in(
    stranger: Browser, pattern: URLPattern
) -> None:
    answer = stranger.get(address(pattern), headers=HTMX | {"HX-Current-URL": "http://testserver/clients/?q=a"})
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == f"{reverse('login')}?next=%2Fclients%2F%3Fq%3Da"
    assert answer.content == b""


@pytest.mark.parametrize("name", ACTS)
def test_nothing_is_done_by_looking_at_an_address(browser: Browser, name: str) -> None:
    pattern = next(pattern for pattern in urlpatterns if pattern.name == name)
    assert browser.get(address(pattern)).status_code == 405


def test_an_act_without_the_csrf_token_is_refused(mara: User, running: TrainingSession) -> None:
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(mara)
    answer = browser.post(reverse("session_pause", args=[running.pk]))
    assert answer.status_code == 403
    assert "This page was too old" in answer.content.decode()
    running.refresh_from_db()
    assert running.status == "running"


def test_mara_signs_in_and_out(mara: User, stranger: Browser) -> None:
    answer = stranger.post(reverse("login"), {"username": "mara", "password": "correct-horse", "next": "/clients/"})
    assert answer["Location"] == "/clients/"
    assert stranger.get("/clients/").status_code == 200
    assert stranger.post(reverse("logout"))["Location"] == reverse("login")
    assert stranger.get("/clients/").status_code == 302


def test_a_wrong_password_is_told_and_the_name_kept(mara: User, stranger: Browser) -> None:
    page = stranger.post(reverse("login"), {"username": "mara", "password": "wrong"}).content.decode()
    assert "do not belong together" in page
    assert 'value="mara"' in page


def test_signing_in_leads_nowhere_else(mara: User, stranger: Browser) -> None:
    answer = stranger.post(
        reverse("login"), {"username": "mara", "password": "correct-horse", "next": "https://example.org/"}
    )
    assert answer["Location"] == reverse("overview")


def test_signing_out_is_not_done_by_a_link(browser: Browser) -> None:
    assert browser.get(reverse("logout")).status_code == 405


def test_mara_changes_her_password(browser: Browser, mara: User) -> None:
    answer = browser.post(
        reverse("password"),
        {"old_password": "correct-horse", "new_password1": "battery-staple-9", "new_password2": "battery-staple-9"},
        follow=True,
    )
    assert "Your password is changed." in answer.content.decode()
    mara.refresh_from_db()
    assert mara.check_password("battery-staple-9")


def test_a_password_that_is_too_common_is_refused_beside_its_field(browser: Browser, mara: User) -> None:
    page = browser.post(
        reverse("password"),
        {"old_password": "correct-horse", "new_password1": "password", "new_password2": "password"},
    ).content.decode()
    assert 'aria-invalid="true"' in page
    assert "too common" in page
    mara.refresh_from_db()
    assert mara.check_password("correct-horse")


def test_unknown_addresses_and_sessions_say_so_in_the_same_language(browser: Browser) -> None:
    for path in ("/nowhere/", "/sessions/4711/", "/sessions/4711/round/", "/clients/4711/disable/"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert "Nothing is here" in answer.content.decode()
