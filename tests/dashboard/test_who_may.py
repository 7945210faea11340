"""Every address of the server and who may come there: somebody unknown, a viewer, an operator, staff."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from federation import access
from federation.access import Act, Caller
from federation.api.urls import RAW_ROUTES, api
from federation.models import AlertRule
from federation.services import apikeys, people, signins
from tests.dashboard.cast import HTMX

PAGES = {
    Act.SEE: (
        "overview overview_parts health find sessions session_rows session session_head session_round session_history "
        "session_timeline session_privacy training "
        "session_data session_events session_settings session_points clients client_rows invitations "
        "client client_parts client_log compare compare_parts models model_rows model_compare model model_tagged "
        "activity activity_rows keys alerts alert_parts alert_count server_log "
        "session_log session_evaluation model_evaluations workloads workload_rows workload workload_parts"
    ),
    Act.OWN_ACCOUNT: "password",
    Act.OWN_KEYS: "key_new",
    Act.MANAGE_PEOPLE: "key_revoke",  # of somebody else; one's own are in test_keys
    Act.STEER_SESSIONS: (
        "first_launch session_new session_check session_who session_estimate session_start session_pause "
        "uploads upload_delete "
        "session_resume session_cancel session_more session_again round_finish round_extend round_skip model_evaluate"
    ),
    Act.MANAGE_CLIENTS: "client_retag client_enable client_disable",
    Act.TAG_MODELS: "model_tag model_untag model_note",
    Act.MANAGE_ALERTS: "alert_acknowledge rule_new rule rule_test rule_delete",
    Act.DELETE_SESSIONS: "session_delete",
    Act.REISSUE_TOKENS: "client_reissue",
    Act.REMOVE_CLIENTS: "client_remove",
    Act.INVITE: "invite invitation_revoke",
}
ACT_OF_PAGE = {name: act for act, names in PAGES.items() for name in names.split()}
FOR_ANYBODY = {"login", "logout", "first_account"}
API = {
    "POST /sessions": Act.STEER_SESSIONS,
    "GET /sessions": Act.SEE,
    "GET /sessions/{session_id}": Act.SEE,
    "DELETE /sessions/{session_id}": Act.DELETE_SESSIONS,
    "POST /sessions/{session_id}/start": Act.STEER_SESSIONS,
    "POST /sessions/{session_id}/pause": Act.STEER_SESSIONS,
    "POST /sessions/{session_id}/resume": Act.STEER_SESSIONS,
    "POST /sessions/{session_id}/cancel": Act.STEER_SESSIONS,
    "POST /sessions/{session_id}/round/finish": Act.STEER_SESSIONS,
    "POST /sessions/{session_id}/round/extend": Act.STEER_SESSIONS,
    "POST /sessions/{session_id}/round/skip": Act.STEER_SESSIONS,
    "GET /sessions/{session_id}/rounds": Act.SEE,
    "GET /sessions/{session_id}/models": Act.SEE,
    "GET /sessions/{session_id}/events": Act.SEE,
    "GET /sessions/{session_id}/metrics": Act.SEE,
    "GET /clients": Act.SEE,
    "GET /workloads": Act.SEE,
    "PATCH /clients/{client_id}": Act.MANAGE_CLIENTS,
    "POST /invitations": Act.INVITE,
    "POST /clients/{client_id}/reissue": Act.REISSUE_TOKENS,
}
OF_AGENTS = {
    "POST /enroll",
    "POST /clients/me/info",
    "POST /clients/me/log",
    "POST /clients/me/leave",
    "POST /participations/{seat_id}/fail",
    "POST /participations/{seat_id}/result",
}
OF_OPERATORS_RAW = {"models/uploads"}
OF_AGENTS_RAW = {"work", "models", "models/state_dict", "participations/progress", "participations/update"}
ROLES = ("viewer", "operator", "staff")


def may(role: str, act: Act) -> bool:
    """The rule, said once more and otherwise."""
    if act in (Act.SEE, Act.OWN_ACCOUNT):
        return True
    return role == "staff" or (role == "operator" and act not in access.ADMINISTRATIVE)


@pytest.fixture
def person(db: None) -> Callable[[str], User]:
    def person(role: str) -> User:
        user = User.objects.create_user(role, password="correct-horse", is_staff=role == "staff")
        if role == "viewer":
            user.groups.add(Group.objects.get_or_create(name=access.VIEWERS)[0])
        return user

    return person


@pytest.fixture
def browser_of(person: Callable[[str], User]) -> Callable[[str], Browser]:
    def browser_of(role: str) -> Browser:
        browser = Browser()
        if role != "stranger":
            browser.force_login(person(role))
        return browser

    return browser_of


def pages() -> Iterator[URLPattern]:
    root = next(one for one in get_resolver().url_patterns if str(one.pattern) == "" and isinstance(one, URLResolver))
    yield from (one for one in root.url_patterns if one.name not in FOR_ANYBODY)


def address(pattern: URLPattern) -> str:
    return reverse(str(pattern.name), args=[1] * len(pattern.pattern.converters))


def operations() -> Iterator[tuple[str, str]]:
    """Method and path of every operation of the JSON API."""
    for router_prefix, router in api._routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                for method in operation.methods:
                    yield method, router_prefix + path.replace("id:", "")


def test_every_page_is_in_the_table() -> None:
    assert {str(one.name) for one in pages()} == set(ACT_OF_PAGE)


def test_every_operation_is_in_the_table() -> None:
    assert {f"{method} {path}" for method, path in operations()} == set(API) | OF_AGENTS


def test_every_raw_route_is_in_the_table() -> None:
    found = {re.sub(r"/?\(\?P.*?\}\)|/api/v1/", "", route) for route in RAW_ROUTES}
    assert found == OF_AGENTS_RAW | OF_OPERATORS_RAW


def test_nothing_else_is_served() -> None:
    assert {str(one.pattern) for one in get_resolver().url_patterns} == {"api/v1/", "admin/", ""}


@pytest.mark.parametrize("role", ROLES)
def test_who_may_reaches_a_page_and_who_may_not_is_told_so(role: str, browser_of: Callable[[str], Browser]) -> None:
    browser, wrong = browser_of(role), []
    for pattern in pages():
        for method in (browser.get, browser.post):
            for headers in ({}, HTMX):
                refused = method(address(pattern), headers=headers).status_code == 403
                if refused == may(role, ACT_OF_PAGE[str(pattern.name)]):
                    wrong.append((pattern.name, method.__name__, headers))
    assert not wrong


@pytest.mark.parametrize("role", ROLES)
def test_who_may_calls_an_operation_and_who_may_not_is_told_so(role: str, browser_of: Callable[[str], Browser]) -> None:
    browser, wrong = browser_of(role), []
    for operation, act in API.items():
        method, path = operation.split()
        answer = browser.generic(method, "/api/v1" + re.sub(r"\{\w+\}", "1", path), "{}", "application/json")
        if (answer.status_code == 403) == may(role, act):
            wrong.append((operation, answer.status_code))
        if answer.status_code == 403:
            assert answer["Content-Type"] == "application/problem+json" and answer.json()["detail"].endswith(".")
    assert not wrong


@pytest.mark.parametrize(
    ("role", "administers"), [("viewer", True), ("operator", True), ("staff", True), ("staff", False)]
)
def test_a_key_may_do_what_its_user_may_and_administer_only_if_it_was_made_for_it(
    role: str, administers: bool, person: Callable[[str], User]
) -> None:
    _, key = apikeys.create(person(role), may_administer=administers)
    browser, wrong = Browser(headers={"authorization": f"Bearer {key}"}), []
    for operation, act in API.items():
        method, path = operation.split()
        answer = browser.generic(method, "/api/v1" + re.sub(r"\{\w+\}", "1", path), "{}", "application/json")
        if (answer.status_code == 403) == (may(role, act) and (administers or act not in access.ADMINISTRATIVE)):
            wrong.append((operation, answer.status_code))
    assert not wrong


def test_a_stranger_calls_nothing(browser_of: Callable[[str], Browser]) -> None:
    for operation in API:
        method, path = operation.split()
        answer = browser_of("stranger").generic(
            method, "/api/v1" + re.sub(r"\{\w+\}", "1", path), "{}", "application/json"
        )
        assert answer.status_code == 401, operation


def test_a_key_loses_what_its_user_loses(person: Callable[[str], User]) -> None:
    user = person("staff")
    _, secret = apikeys.create(user, may_administer=True)
    browser = Browser(headers={"authorization": f"Bearer {secret}"})
    assert browser.post("/api/v1/invitations", {}, "application/json").status_code == 201
    user.is_staff = False
    user.save()
    answer = browser.post("/api/v1/invitations", {}, "application/json")
    assert answer.status_code == 403
    assert answer.json()["detail"] == "Only staff may make or revoke invitations. Ask an administrator of this server."


@pytest.mark.parametrize("act", sorted(access.ADMINISTRATIVE))
def test_administrative_acts_are_for_staff_outside_the_viewers(act: Act) -> None:
    assert access.allowed(Caller(is_staff=True, is_viewer=False), act)
    assert not access.allowed(Caller(is_staff=False, is_viewer=False), act)
    assert not access.allowed(Caller(is_staff=True, is_viewer=True), act)
    assert not access.allowed(Caller(is_staff=True, is_viewer=False, by_key=True), act)
    assert not access.allowed(Caller(is_staff=False, is_viewer=False, by_key=True, may_administer=True), act)


# ---- where the act depends on what was sent


@pytest.mark.parametrize("tag", ["production", " Production "])
def test_what_is_in_production_is_for_staff(tag: str, browser_of: Callable[[str], Browser]) -> None:
    operator, staff = browser_of("operator"), browser_of("staff")
    for name in ("model_tag", "model_untag"):
        assert operator.post(reverse(name, args=[1]), {"tag": tag}).status_code == 403
        assert operator.post(reverse(name, args=[1]), {"tag": "candidate"}).status_code == 404
        assert staff.post(reverse(name, args=[1]), {"tag": tag}).status_code == 404
    assert operator.get(reverse("model_untag", args=[1]), {"tag": tag}).status_code == 403


def test_a_rule_with_a_webhook_is_for_staff(browser_of: Callable[[str], Browser]) -> None:
    operator, staff = browser_of("operator"), browser_of("staff")
    rule = AlertRule.objects.create(kind="session_done", webhook_url="https://example.org/")
    typed = {"kind": "round_failed", "minutes": 5, "factor": 2}
    for name in ("rule", "rule_delete"):
        assert operator.get(reverse(name, args=[rule.pk])).status_code == 403
        assert staff.get(reverse(name, args=[rule.pk])).status_code == 200
    assert operator.post(reverse("rule_test", args=[rule.pk])).status_code == 403
    assert operator.post(reverse("rule_new"), typed | {"webhook_url": "https://example.org/"}).status_code == 403
    assert "webhook" not in operator.get(reverse("rule_new")).content.decode().lower()
    assert operator.post(reverse("rule_new"), typed).status_code == 302
    mine = AlertRule.objects.get(kind="round_failed")
    assert operator.post(reverse("rule", args=[mine.pk]), typed | {"webhook_url": " "}).status_code == 302
    assert AlertRule.objects.get(pk=mine.pk).webhook_url == ""


# ---- the admin


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("staff", 200)])
def test_the_admin_is_for_staff(role: str, status: int, browser_of: Callable[[str], Browser]) -> None:
    assert browser_of(role).get(reverse("admin:index"), follow=True).status_code == status


def test_a_superuser_among_the_viewers_has_no_admin(person: Callable[[str], User]) -> None:
    viewer = person("viewer")
    viewer.is_staff = viewer.is_superuser = True
    viewer.save()
    browser = Browser()
    browser.force_login(viewer)
    for name in ("admin:index", "admin:auth_user_add", "admin:federation_apikey_changelist"):
        assert browser.get(reverse(name), follow=True).status_code == 403


def test_the_admin_sends_a_stranger_to_the_one_sign_in_page(stranger: Browser) -> None:
    answer = stranger.get(reverse("admin:federation_client_changelist"), follow=True)
    assert answer.redirect_chain[-1][0] == f"{reverse('login')}?next=%2Fadmin%2Ffederation%2Fclient%2F"
    stranger.post(reverse("admin:login"), {"username": "mara", "password": "wrong"})
    assert "fl_session" not in stranger.cookies


# ---- buttons


def test_templates_ask_for_acts_that_there_are() -> None:
    asked = {name for file in Path(settings.BASE_DIR, "templates").rglob("*.html")
             for name in re.findall(r"\bmay\.(\w+)", file.read_text())}  # fmt: skip
    assert asked and asked <= set(Act)


ACTS_ON_PAGES = re.compile(r'(?:action|hx-post|hx-get|href|data-go)="([^"]+)"')


def linked(html: str) -> set[str]:
    """The names of the views that a page leads to."""
    names = set()
    for found in ACTS_ON_PAGES.findall(html):
        path = found.partition("?")[0].partition("#")[0]
        if path.startswith("/") and not path.startswith(("/static/", "/api/")):
            names.add(get_resolver().resolve(path).url_name)
    return names


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_no_page_shows_a_button_that_its_viewer_may_not_press(
    role: str, browser_of: Callable[[str], Browser], running: Any, create: Any
) -> None:
    from django.utils import timezone

    from federation.services import models, sessions
    from federation.services.clients import invitations

    invitations.create(uses=1, expires_in_seconds=None, by=None, now=timezone.now())
    AlertRule.objects.create(kind="session_done", webhook_url="https://example.org/")
    draft, ended = create(), create(start=True)
    sessions.cancel(ended, by=None, now=timezone.now())
    model = ended.last_model()
    models.tag(model, "production", by="mara")
    browser = browser_of(role)
    one = {"session": running.pk, "client": running.round_set.get().seats.first().client_id, "model": model.pk}
    one["workload"] = "synthetic"
    shown = [reverse(str(p.name), args=[one.get(str(p.name).partition("_")[0], 1)] * len(p.pattern.converters))
             for p in pages() if ACT_OF_PAGE[str(p.name)] == Act.SEE and p.name != "training"]  # fmt: skip
    shown += [reverse("session", args=[session.pk]) for session in (draft, ended)]
    for path in shown:
        answer = browser.get(path)
        assert answer.status_code in (200, 204), path
        if "html" not in answer["Content-Type"]:
            continue
        for name in linked(answer.content.decode()):
            assert name in FOR_ANYBODY or may(role, ACT_OF_PAGE[name]), (path, name)


def test_staff_see_the_buttons(browser_of: Callable[[str], Browser], running: Any) -> None:
    browser = browser_of("staff")
    seat = running.round_set.get().seats.first()
    assert {"session_cancel", "round_skip"} <= linked(
        browser.get(reverse("session", args=[running.pk])).content.decode()
    )
    client = linked(browser.get(reverse("client", args=[seat.client_id])).content.decode())
    assert {"client_reissue", "client_remove", "client_disable", "client_retag"} <= client
    assert "invite" in linked(browser.get(reverse("clients")).content.decode())


def test_who_somebody_is_comes_with_the_session(
    browser_of: Callable[[str], Browser], person: Callable[[str], User], django_assert_num_queries: Any
) -> None:
    from federation.passwords import Backend

    user = Backend().get_user(person("viewer").pk)
    assert user is not None
    with django_assert_num_queries(0):
        assert people.caller(user).is_viewer


def test_the_password_entered_at_sign_in_counts(person: Callable[[str], User]) -> None:
    browser = Browser()
    browser.force_login(person("staff"))
    assert signins.entered_at(browser.session) is not None
