import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.overview import attention, happened, server
from dashboard.pages.overview.running import live, recent
from federation.lifecycle import WorkKind
from federation.models import Alert, AlertRule, Client, Server, TrainingSession
from federation.services import clients, rounds, sessions
from tests.dashboard.cast import HTMX, fail_round, finish_round, report, stream
from tests.dashboard.markup import compact
from tests.federation.services.declaring import telling

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def look(browser: Browser) -> str:
    return plain(browser.get("/").content.decode())


# ---- first start


def test_a_new_installation_is_guided(browser: Browser) -> None:
    page = compact(browser.get("/").content.decode())
    assert "Train one model together" in page
    assert "Listening. The first client shows up here by itself" in page
    assert re.search(r'id="first-launch" aria-disabled="true"', page)
    assert "Needs 2 clients; none is here yet." in page


def test_the_first_invitation_is_one_button(browser: Browser) -> None:
    page = compact(browser.get("/").content.decode())
    form = re.search(r'hx-target="#invite-panel">.*?</form>', page, re.S)
    assert form
    fields = dict(re.findall(r'name="(uses|expires)" value="(\d+)"', form[0]))
    answer = browser.post(reverse("invite"), fields, headers=HTMX | {"HX-Target": "invite-panel"}).content.decode()
    assert answer.count("--server http://testserver") == 6, "a file, a script, many, Docker, several, or only one"
    assert "docker run" in answer and "--network host" not in answer
    assert "dialog-title" not in answer
    assert re.search(r"A code that begins with <code>[A-Z0-9]{4}</code> is open", browser.get("/").content.decode())


def test_clients_appear_by_themselves_and_the_launch_opens(browser: Browser, enrol: Enrol) -> None:
    address = reverse("overview_parts") + "?first"
    enrol("anna", num_examples=1437)
    steps = browser.get(address, headers=HTMX).content.decode()
    assert "anna" in steps
    assert "1\u202f437 examples" in steps
    assert "Needs 2 clients; 1 is here." in steps
    enrol("ben")
    steps = browser.get(address, headers=HTMX).content.decode()
    assert "2 clients will take part." in steps
    assert "aria-disabled" not in steps
    assert re.search(r'id="step-launch"[^>]*hx-swap-oob="true"', steps)


def test_the_first_session_is_launched_with_good_settings(browser: Browser, enrol: Enrol) -> None:
    enrol("anna", "ben", "carl", "dora")
    answer = browser.post(reverse("first_launch"), headers=HTMX)
    session = TrainingSession.objects.get()
    assert answer["HX-Redirect"] == reverse("session", args=[session.pk])
    assert (session.status, session.workload, session.quorum) == ("running", "digits", 2)


def test_it_is_not_launched_with_too_few_clients(browser: Browser, enrol: Enrol) -> None:
    enrol("anna")
    answer = browser.post(reverse("first_launch"), headers=HTMX)
    assert answer.status_code == 409
    assert "2 clients that train digits are needed and 1 is online." in answer["HX-Trigger"]
    assert not TrainingSession.objects.exists()


def test_scripts_are_offered_a_session_of_their_own_and_not_one_of_digits(browser: Browser, enrol: Enrol) -> None:
    for client in enrol("anna", "ben"):
        clients.tell(client, telling(examples={"digits": 0}), now=timezone.now())
    page = look(browser)
    assert "Needs 2 clients that have digits; 2 clients are here, and none of them have it." in page
    assert "New session of Chest X-ray …" in page
    assert (
        "2 clients that train digits are needed and 0 are online."
        in browser.post(reverse("first_launch"), headers=HTMX)["HX-Trigger"]
    )


def test_a_first_start_that_is_over_becomes_the_overview(browser: Browser, create: Create) -> None:
    create()
    answer = browser.get(reverse("overview_parts") + "?first", headers=HTMX)
    assert answer["HX-Refresh"] == "true"
    assert "Running now" in look(browser)


# ---- what needs somebody


def test_when_nothing_is_wrong_nothing_needs_you(browser: Browser, running: TrainingSession) -> None:
    page = look(browser)
    assert "nothing needs you" in page
    assert "Needs attention" not in page
    assert "All well" in page


def test_a_session_without_clients_needs_you(browser: Browser, create: Create, ticking: None) -> None:
    create(start=True)
    page = look(browser)
    assert "1 thing needs you" in page
    assert "Round 1 of first needs a look" in page
    assert "Nobody is online." in page


def test_a_round_that_cannot_reach_its_quorum_needs_you(browser: Browser, running: TrainingSession) -> None:
    for name in ("anna", "ben"):
        clients.leave(Client.objects.get(name=name))
    assert "The quorum cannot be reached any more." in look(browser)


def test_a_failed_session_needs_you_for_some_days(browser: Browser, running: TrainingSession) -> None:
    for _ in range(3):
        fail_round(running)
        rounds.advance(running, now=timezone.now())
    page = browser.get("/").content.decode()
    assert f'<a href="{reverse("session", args=[running.pk])}">first</a> failed' in page
    assert "Round 1 failed 3 times." in page
    assert f"{reverse('session_new')}?from={running.pk}" in page
    TrainingSession.objects.update(ended_at=timezone.now() - timedelta(days=4))
    assert "first failed" not in look(browser)


def test_a_silent_worker_needs_you(browser: Browser, create: Create) -> None:
    create()
    page = look(browser)
    assert "No worker is at work" in page
    assert "never seen" in page
    Server.objects.create(pk=1, ticked_at=timezone.now() - timedelta(minutes=1))
    assert "silent since" in look(browser)


def test_a_full_disk_needs_you(running: TrainingSession, monkeypatch: pytest.MonkeyPatch) -> None:
    full = server.ServerState(timezone.now(), True, 0, 95, 100, "SQLite, 1 MB", "0.1.0")
    [item] = attention.items([], full, now=timezone.now())
    assert str(item.title) == "The disk is 95\u202f% full"
    assert not full.is_well


# ---- what runs, what came out, what happened


def test_running_sessions_show_where_they_are_and_why_they_wait(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    page = look(browser)
    assert "1 session running" in page
    assert "synthetic, fedavg, 3 clients" in page
    assert "Round 1 of 3" in page
    assert "One more update is needed." in page


def test_a_paused_session_is_shown_as_paused(browser: Browser, running: TrainingSession) -> None:
    sessions.pause(running, by=None)
    page = look(browser)
    assert "Paused" in page
    assert "The session is paused: the open round goes on, no new one opens." in page


def test_the_line_of_a_running_session_moves_with_each_report(browser: Browser, running: TrainingSession) -> None:
    now = timezone.now()
    assert live(now)[0].spark == ""
    for reported in (1, 2, 3):
        stream(running, "anna", [2.0, 1.0, 0.5][:reported])
    assert [float(point.split(",")[1]) for point in live(now)[0].spark.split()] == [2.0, 15.3, 22.0]
    page = browser.get("/").content.decode()
    assert "Training loss of the newest reports" in page
    assert "progress-reported from:body" in page


def test_clients_that_went_quiet_need_attention(browser: Browser, running: TrainingSession) -> None:
    assert "gone quiet" not in look(browser)
    silent = Client.objects.filter(name__in=["ben", "carl"])
    silent.update(last_seen=timezone.now() - timedelta(minutes=12))
    assert "ben and carl have gone quiet Silent for up to 12 min." in look(browser)
    silent.update(last_seen=timezone.now() - timedelta(days=4))
    assert "gone quiet" not in look(browser), "what is away for days is not news"
    clients.leave(Client.objects.get(name="anna"))
    assert "gone quiet" not in look(browser), "it said goodbye"


def test_the_count_of_alerts_is_a_fragment(browser: Browser, running: TrainingSession) -> None:
    address = reverse("alert_count")
    assert re.search(r"hidden>0<", compact(browser.get(address, headers=HTMX).content.decode()))
    rule = AlertRule.objects.create(kind=AlertRule.Kind.ROUND_FAILED)
    Alert.objects.create(rule=rule, cause="round:1", sentence="Round 1 failed.")
    fragment = compact(browser.get(address, headers=HTMX).content.decode())
    assert re.search(r'hx-trigger="alerts-changed from:body"[^>]*"outerHTML">1<', fragment)


def test_results_are_those_of_all_models(browser: Browser, running: TrainingSession) -> None:
    for accuracy in (0.3, 0.9, 0.6):
        finish_round(running, "anna", "ben", "carl", base_val_accuracy=accuracy, base_val_loss=1 - accuracy)
    page = look(browser)
    assert "Completed" in page
    assert "3 of 3" in page
    assert "0.900" in page
    [result] = recent()
    assert result.spark.count(",") == 3


def test_what_happened_comes_from_all_logs_newest_first(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    clients.leave(Client.objects.get(name="carl"))
    told = happened.newest()
    assert [line.time for line in told] == sorted((line.time for line in told), reverse=True)
    assert told[0].kind == "client.left"
    assert {line.session for line in told if line.session_id} == {"first"}
    assert "seat.training" not in {line.kind for line in told}


def test_the_fragment_names_the_logs_to_follow(browser: Browser, running: TrainingSession) -> None:
    running.refresh_from_db()
    fragment = browser.get(reverse("overview_parts"), headers=HTMX).content.decode()
    assert f'data-follow="{running.pk}:{running.last_seq}"' in fragment


def test_clients_are_counted_and_named(browser: Browser, running: TrainingSession) -> None:
    Client.objects.filter(name="carl").update(last_seen=timezone.now() - timedelta(minutes=2))
    page = look(browser)
    assert "2 of 3 clients online" in page
    assert "silent for 2 min" in page


# ---- the proof of concept's address


def test_training_leads_to_the_form_until_there_is_a_session(browser: Browser) -> None:
    assert browser.get("/training").headers["Location"] == "/training/"
    assert browser.get("/training/").headers["Location"] == reverse("session_new")


def test_training_leads_to_the_newest_session_that_trains(browser: Browser, create: Create) -> None:
    create(name="first")
    newest = create(name="second")
    measured = create(name="only measured")
    TrainingSession.objects.filter(pk=measured.pk).update(kind=WorkKind.EVALUATE)
    assert browser.get("/training/").headers["Location"] == reverse("session", args=[newest.pk])
