import html
import re
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from clientagent import cli
from dashboard.kit import client_states
from dashboard.pages.clients import client_history, client_list, meant
from dashboard.pages.clients import invitations as commands
from federation import tasks
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.foreign import Place
from federation.models import Client, Invitation, Participation, ServerEvent, TrainingSession
from federation.services import clients, rounds, sessions
from federation.services.clients import invitations
from tests.dashboard.cast import HTMX, finish_round, report, seat_of, stream
from tests.dashboard.markup import compact
from tests.federation.services.declaring import telling

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]


def place(name: str) -> client_states.Place:
    return client_list.with_numbers([Client.objects.get(name=name)], now=timezone.now())[0]


# ---- the table


def test_a_client_is_shown_as_it_is(browser: Browser, enrol: Enrol) -> None:
    enrol(
        "anna",
        device="cuda",
        gpu="NVIDIA A40, 46068 MiB",
        platform="Linux 6.1 x86_64",
        memory=128 * 2**30,
        num_examples=18420,
        version="0.1.0",
    )
    page = browser.get(reverse("clients")).content.decode()
    for text in ("anna", "Online", "ready", "NVIDIA A40", "Linux, 128 GiB", "18\u202f420", "0.1.0"):
        assert text in page


@pytest.mark.parametrize(
    ("info", "device"),
    [
        ({"device": "cpu", "cores": 16}, "CPU, 16 cores"),
        ({"device": "mps"}, "Apple GPU"),
        ({"device": "cpu", "gpu": "NVIDIA A40, 1 MiB", "cores": 2}, "CPU, 2 cores"),
        ({}, ""),
        ({"device": ["odd"], "cores": "many", "memory": "x", "gpu": 7, "platform": None}, "7"),
    ],
)
def test_whatever_a_client_says_of_its_machine_is_taken(enrol: Enrol, info: dict[str, object], device: str) -> None:
    enrol("anna", **info)
    assert place("anna").device == device
    assert isinstance(place("anna").system, str)


def test_states_are_computed_from_what_is_so(running: TrainingSession) -> None:
    now = timezone.now()
    report(running, "anna")
    stream(running, "ben", [1.0], fraction=0.5)
    Client.objects.filter(name="carl").update(last_seen=now - timedelta(minutes=4))
    assert (place("anna").state, place("anna").doing) == ("online", "waits in round 1, first")
    assert (place("ben").state, place("ben").doing) == ("busy", "training 50\u202f%, first")
    assert (place("carl").state, place("carl").doing) == ("away", "silent for 4 min, in round 1 of first")
    clients.leave(Client.objects.get(name="carl"))
    assert place("carl").doing == "left; it comes back by itself"
    clients.set_enabled(Client.objects.get(name="anna"), False, by="mara")
    assert place("anna").state == "disabled"


def test_reliability_counts_reports_in_time_late_and_lost(running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    rounds.finish(running, by="mara", now=timezone.now())
    seat = Client.objects.get(name="carl").seats.get()
    assert seat.status == "dropped"
    Participation.objects.filter(pk=seat.pk).update(status="late")
    finish_round(running)
    finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    assert (place("carl").in_time, place("carl").late, place("carl").share_in_time) == (1, 1, 0.5)
    assert place("anna").share_in_time == 1.0
    assert [bar.look for bar in place("carl").bars] == ["late", "run"]


def test_failed_rejected_and_dropped_are_counted_apart(browser: Browser, running: TrainingSession) -> None:
    for _ in range(3):
        finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    for status, seat in zip(
        ("failed", "rejected", "dropped"), Client.objects.get(name="carl").seats.all(), strict=True
    ):
        Participation.objects.filter(pk=seat.pk).update(status=status)
    carl = place("carl")
    assert (carl.rounds, carl.in_time, carl.failed, carl.rejected, carl.dropped) == (3, 0, 1, 1, 1)
    page = browser.get(reverse("clients")).content.decode()
    row = page[page.index('data-client="carl"') :]
    assert "1 rejected" in row and "1 dropped" in row


def test_clients_are_sorted(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    Client.objects.filter(name="ben").update(num_examples=10**6)
    for name, status in (("carl", "late"), ("ben", "failed")):
        seat = Client.objects.get(name=name).seats.order_by("pk")[0]
        Participation.objects.filter(pk=seat.pk).update(status=status)
    firsts = {"": "anna", "name": "anna", "examples": "ben", "late": "carl", "failed": "ben", "x": "anna"}
    for sort, first in firsts.items():
        page = browser.get(reverse("client_rows"), {"sort": sort}, headers=HTMX).content.decode()
        assert re.search(r'data-client="(\w+)"', page)[1] == first, sort  # type: ignore[index]


def test_a_cancelled_round_is_held_against_nobody(running: TrainingSession) -> None:
    seat_of(running, "anna")
    sessions.cancel(running, by=None, now=timezone.now())
    assert place("anna").rounds == 0


def test_the_median_is_from_taking_the_work_to_the_report(running: TrainingSession) -> None:
    now = timezone.now()
    for _ in range(3):
        finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    for seconds, seat in zip((10, 30, 20), Participation.objects.filter(client__name="anna"), strict=True):
        Participation.objects.filter(pk=seat.pk).update(taken_at=now - timedelta(seconds=seconds), reported_at=now)
    assert place("anna").median_seconds == 20


def test_its_own_page_has_the_median_of_the_list_and_no_upload_that_nobody_timed(
    browser: Browser, running: TrainingSession
) -> None:
    now = timezone.now()
    for _ in range(3):
        finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    for seconds, seat in zip(
        (10, 30, 90), Participation.objects.filter(client__name="anna").order_by("pk"), strict=False
    ):
        taken = now - timedelta(seconds=seconds)
        Participation.objects.filter(pk=seat.pk).update(taken_at=taken, trained_at=now, reported_at=now)
    Participation.objects.filter(pk=seat.pk).update(status="rejected")
    found = client_history.times(list(Client.objects.get(name="anna").seats.all()))
    assert found["Whole round"] == place("anna").median_seconds == 20
    assert "Upload" not in found
    page = browser.get(reverse("client", args=[seat.client_id])).content.decode()
    assert 'data-label="Upload">–</td>' in page and 'data-label="Upload">0 s' not in page


def test_a_client_that_left_is_not_said_to_be_never_heard_of(browser: Browser, enrol: Enrol) -> None:
    (anna,) = enrol("anna")
    address = reverse("client", args=[anna.pk])
    assert "heard of <time" in browser.get(address).content.decode()
    clients.leave(anna, now=timezone.now())
    page = browser.get(address).content.decode()
    assert "it comes back by itself" in page and "heard of" not in page


def test_who_goes_on_in_a_buffered_session_is_not_late(enrol: Enrol, create: Create, ticking: None) -> None:
    enrol("anna", "ben")
    session = create(start=True, schedule="buffered", quorum=1, rounds=9)
    finish_round(session)
    seat_of(session, "ben")
    finish_round(session, "anna")
    report(session, "ben")
    ben = Participation.objects.get(client__name="ben", round__number=1)
    assert (ben.status, ben.went_on) == ("late", True)
    found = place("ben")
    assert (found.in_time, found.late, found.bars[0].look) == (1, 0, "run")
    assert client_history.times([ben]) == {"Whole round": found.median_seconds}
    assert [one.name for one in client_list.ordered(Client.objects.all(), "late")] == ["anna", "ben"]


def test_who_was_not_needed_in_an_over_selected_round_did_nothing_wrong(
    enrol: Enrol, create: Create, ticking: None
) -> None:
    enrol("anna", "ben")
    over = {"schedule": "over_selected", "schedule_options": {"extra": 1.0}}
    session = create(start=True, quorum=1, rounds=9, **over)
    finish_round(session)
    finish_round(session, "anna")
    assert Participation.objects.get(client__name="ben", round__number=1).status == "dropped"
    assert (place("ben").rounds, place("anna").rounds) == (0, 1)


def test_only_the_last_rounds_are_drawn(running: TrainingSession) -> None:
    TrainingSession.objects.update(rounds=40)
    for _ in range(client_list.LAST + 3):
        finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    anna = place("anna")
    assert (anna.rounds, len(anna.bars)) == (client_list.LAST + 3, client_list.LAST)


def test_numbers_of_many_clients_take_five_queries(
    enrol: Enrol, running: TrainingSession, django_assert_num_queries: Callable[[int], object]
) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    enrol(*(f"site-{n}" for n in range(20)))
    everybody = list(Client.objects.enrolled())
    with django_assert_num_queries(5):  # type: ignore[attr-defined]
        client_list.with_numbers(everybody, now=timezone.now())


FILTERED = [
    ({"state": "busy"}, ["ben"]),
    ({"state": "online"}, ["anna"]),
    ({"state": "away"}, ["carl"]),
    ({"state": "disabled"}, ["dora"]),
    ({"q": "AN"}, ["anna"]),
    ({"q": "x"}, []),
    ({"state": "nonsense"}, ["anna", "ben", "carl", "dora"]),
]


def test_the_table_is_filtered(browser: Browser, enrol: Enrol, running: TrainingSession) -> None:
    report(running, "anna")
    Client.objects.filter(name="carl").update(last_seen=timezone.now() - timedelta(minutes=4))
    clients.set_enabled(enrol("dora")[0], False, by="mara")
    for query, names in FILTERED:
        for address, headers in ((reverse("clients"), {}), (reverse("client_rows"), HTMX)):
            page = compact(browser.get(address, query, headers=headers).content.decode())
            assert re.findall(r'<tr data-client="(\w+)"', page) == names, (address, query)
        assert ("No client fits" in page) == (not names), query


def test_the_tally_comes_along_with_the_rows(browser: Browser, running: TrainingSession) -> None:
    fragment = compact(browser.get(reverse("client_rows"), headers=HTMX).content.decode())
    assert re.search(r'id="client-tally" hx-swap-oob="true"><span>3 enrolled</span><span>3 busy</span>', fragment)


def test_a_removed_client_is_not_listed(browser: Browser, enrol: Enrol) -> None:
    [anna] = enrol("anna")
    clients.remove(anna, by="mara", now=timezone.now())
    assert "No client has joined yet" in browser.get(reverse("clients")).content.decode()


def test_the_first_twenty_have_a_colour_and_the_second_ten_are_dashed(browser: Browser, enrol: Enrol) -> None:
    enrol(*(f"site-{n}" for n in range(1, 23)))
    page = browser.get(reverse("clients")).content.decode()
    lines = re.findall(r'<svg class="(c[\w-]+)" viewBox="0 0 14 14"[^>]*><line[^>]*?( stroke-dasharray="5 3")?/>', page)
    assert lines[:20] == [(f"c{n}", ' stroke-dasharray="5 3"' if n > 10 else "") for n in range(1, 21)]
    assert lines[20:22] == [("c-rest", ""), ("c-rest", "")]


# ---- invitations


def test_an_invitation_is_made_and_its_code_shown_once(browser: Browser) -> None:
    answer = browser.post(reverse("invite"), {"uses": "3", "expires": "86400"}, headers=HTMX)
    page = answer.content.decode()
    [code] = set(re.findall(r"--join ([A-Z0-9-]{19})", page))
    invitation = Invitation.objects.get()
    assert (invitation.uses, invitation.hint) == (3, code[:4])
    assert invitation.created_by is not None and invitation.created_by.username == "mara"
    assert "--server http://testserver" in page
    assert "--shard $n/4" in page
    assert answer["Cache-Control"] == "no-store"
    assert answer["HX-Trigger"] == "invitations-changed"
    for again in (reverse("clients"), reverse("invitations")):
        shown = browser.get(again).content.decode()
        assert code not in shown
        assert f"{code[:4]}-····-····" in shown


def test_the_code_that_is_shown_lets_a_client_in(browser: Browser) -> None:
    page = browser.post(reverse("invite"), {"uses": "1", "expires": ""}, headers=HTMX).content.decode()
    found = re.search(r"--join ([A-Z0-9-]{19})", page)
    assert found
    client, _ = clients.enroll(join_code=found[1], name="anna", info={}, token=None, now=timezone.now())
    assert client.invitation == Invitation.objects.get()


@pytest.mark.parametrize(
    ("host", "secure", "needed"),
    [
        ("testserver", False, True),
        ("testserver", True, False),
        ("127.0.0.1:8000", False, False),
        ("localhost:8000", False, False),
        ("[::1]:8000", False, False),
        ("10.1.2.3:8000", False, True),
    ],
)
def test_the_commands_say_insecure_where_the_way_to_the_server_is(
    browser: Browser, settings: Any, enrol: Enrol, host: str, secure: bool, needed: bool
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    [anna] = enrol("anna")
    for path, given in (
        (reverse("invite"), {"uses": "1", "expires": ""}),
        (reverse("client_reissue", args=[anna.pk]), {"expires": "3600"}),
    ):
        headers = HTMX | {"host": host}
        page = browser.post(path, given, headers=headers, secure=secure).content.decode()
        commands = re.findall(r"--server \S+ \\\n +(--insecure \\\n +)?--join", page)
        assert commands and all(bool(found) == needed for found in commands), page
        assert ("anybody on the way can read" in page) == needed


def test_a_client_whose_site_does_not_share_its_labels_says_how_it_would(browser: Browser, enrol: Enrol) -> None:
    [anna, bert] = enrol("anna", "bert")
    Client.objects.filter(name="anna").update(info={"data_fingerprint": "ab"})  # its data have no labels
    said = "This site does not share its histogram"
    assert said not in browser.get(reverse("client", args=[anna.pk])).content.decode()
    assert said in browser.get(reverse("client", args=[bert.pk])).content.decode()


@pytest.mark.parametrize("uses", ["0", "10001", "many", ""])
def test_an_impossible_invitation_is_refused_beside_the_field(browser: Browser, uses: str) -> None:
    page = browser.post(reverse("invite"), {"uses": uses, "expires": "3600"}, headers=HTMX).content.decode()
    assert "field is-bad" in page
    assert not Invitation.objects.exists()
    assert browser.post(reverse("invite"), {"uses": uses, "expires": "3600"}).status_code == 422
    assert browser.post(reverse("invite"), {"uses": "1", "expires": "7"}).status_code == 422


def test_an_invitation_is_revoked_once(browser: Browser, enrol: Enrol) -> None:
    invitation, _ = invitations.create(uses=2, expires_in_seconds=60, by=None, now=timezone.now())
    address = reverse("invitation_revoke", args=[invitation.pk])
    question = browser.get(address, headers=HTMX).content.decode()
    assert "Nobody can join by it any more. 2 uses of it are lost." in question
    assert Invitation.objects.get().revoked_at is None
    assert "is revoked. Clients that joined by it stay." in browser.post(address, headers=HTMX)["HX-Trigger"]
    assert browser.post(address, headers=HTMX).status_code == 409
    assert "No code is open" in browser.get(reverse("invitations"), headers=HTMX).content.decode()


# ---- one client


def test_disabling_says_what_follows_and_drops_its_seat(browser: Browser, running: TrainingSession) -> None:
    anna = Client.objects.get(name="anna")
    address = reverse("client_disable", args=[anna.pk])
    question = browser.get(address, headers=HTMX).content.decode()
    assert "Disable anna?" in question
    assert "what it did in round 1 of first so far" in question
    assert "Kept: its token" in question
    answer = browser.post(address, headers=HTMX)
    assert "clients-changed" in answer["HX-Trigger"]
    anna.refresh_from_db()
    assert not anna.enabled
    assert anna.seats.get().status == "dropped"
    assert browser.get(address, headers=HTMX).status_code == 409


def test_what_is_refused_leads_back_to_the_clients_without_scripts_too(browser: Browser, enrol: Enrol) -> None:
    [anna] = enrol("anna")
    clients.set_enabled(anna, False, by="mara")
    answer = browser.get(reverse("client_disable", args=[anna.pk]), follow=True)
    assert answer.redirect_chain == [(reverse("clients"), 302)]
    assert "anna is disabled already." in answer.content.decode()


def test_a_disabled_client_is_enabled_again(
    browser: Browser, enrol: Enrol, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    [anna] = enrol("anna")
    clients.set_enabled(anna, False, by="mara")
    assert "Enable<" in compact(browser.get(reverse("clients")).content.decode())
    with patch.object(tasks.advance_all, "delay") as delay, django_capture_on_commit_callbacks(execute=True):
        browser.post(reverse("client_enable", args=[anna.pk]))
    delay.assert_called_once_with()
    anna.refresh_from_db()
    assert anna.enabled
    assert ServerEvent.objects.get(kind=ServerEvent.Kind.CLIENT_ENABLED).payload["by"] == "mara"


def test_removing_says_what_is_lost_and_keeps_the_rounds(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=1.0)
    anna = Client.objects.get(name="anna")
    clients.set_tags(anna, ["gpu"], by="mara")
    address = reverse("client_remove", args=[anna.pk])
    question = browser.get(address).content.decode()
    assert "Remove anna?" in question
    assert "it can only come back by a new invitation" in question
    assert "its place in the groups gpu" in question
    assert "Kept: the 2 rounds it took part in" in question
    browser.post(address)
    assert not Client.objects.enrolled().filter(name="anna").exists()
    assert "anna" in browser.get(reverse("session_history", args=[running.pk])).content.decode()
    assert browser.post(address).status_code == 404


def test_removing_a_client_on_its_own_page_leads_away_from_it(browser: Browser, enrol: Enrol) -> None:
    for page, goes in (("client", reverse("clients")), ("clients", None)):
        (anna,) = enrol("anna")
        at = reverse(page, args=[anna.pk] if page == "client" else [])
        headers = HTMX | {"HX-Current-URL": f"http://testserver{at}"}
        answer = browser.post(reverse("client_remove", args=[anna.pk]), headers=headers)
        assert answer.headers.get("HX-Redirect") == goes


# ---- what it is in


def test_the_page_of_a_client_says_which_models_it_is_in(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    rounds.finish(running, by="mara", now=timezone.now())
    finish_round(running)
    finish_round(running, "anna", "ben", "carl")
    carl, anna = (Client.objects.get(name=name) for name in ("carl", "anna"))
    page = compact(browser.get(reverse("client", args=[carl.pk])).content.decode())
    shown = re.sub(r"<[^>]+>", " ", page[page.index('id="influence"') :])
    assert re.search(r"v2\s+of\s+first", shown)
    assert "Start from v1, the last one without it" in shown
    address = re.search(r'href="([^"]+)">Start from v1', page)
    assert address and address[1] == f"{reverse('session_new')}?start={running.pk}:1"
    assert f"{running.pk}:1" in browser.get(address[1]).content.decode()
    assert "v1 to v2" in compact(browser.get(reverse("client_parts", args=[anna.pk])).content.decode())


def test_where_the_file_is_not_kept_nothing_is_offered(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl")
    running.models.filter(version=0).update(file_status="removed")
    page = browser.get(reverse("client", args=[Client.objects.get(name="carl").pk])).content.decode()
    assert "v0 is the last one without it; its file is not kept any more" in page
    assert "Start from" not in page


def test_one_that_is_in_no_model_has_no_such_list(browser: Browser, enrol: Enrol) -> None:
    (anna,) = enrol("anna")
    assert 'id="influence"' not in browser.get(reverse("client", args=[anna.pk])).content.decode()
    question = browser.get(reverse("client_disable", args=[anna.pk]), headers=HTMX).content.decode()
    assert "Not undone" not in question


@pytest.mark.parametrize("act", ["disable", "remove"])
def test_the_question_says_what_is_not_undone(
    browser: Browser, running: TrainingSession, create: Callable[..., TrainingSession], act: str
) -> None:
    finish_round(running, "anna", "ben", "carl")
    for number in range(3):
        create(name=f"later {number}", start_from=(running.pk, 1))
    anna = Client.objects.get(name="anna")
    question = browser.get(reverse(f"client_{act}", args=[anna.pk]), headers=HTMX).content.decode()
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", question))
    assert "Not undone: what it sent stays in these models." in shown
    assert "started from v1 of first, which it is in" in shown
    assert "And in models of 1 older session." in shown


def test_a_removed_client_keeps_its_page(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl")
    anna = Client.objects.get(name="anna")
    clients.remove(anna, by="mara", now=timezone.now())
    page = browser.get(reverse("client", args=[anna.pk])).content.decode()
    for text in ("Removed", "another client", "It was removed", "Start from v0"):
        assert text in page
    for button in ("disable-client", "enable-client", "remove-client", "reissue-client", "client-tags"):
        assert f'id="{button}"' not in page
    assert browser.get(reverse("client_parts", args=[anna.pk])).status_code == 200
    for action in ("client_disable", "client_remove", "client_reissue"):
        assert browser.get(reverse(action, args=[anna.pk])).status_code == 404


def test_the_page_of_a_client_takes_as_many_queries_whatever_it_is_in(
    browser: Browser, running: TrainingSession, create: Callable[..., TrainingSession]
) -> None:
    finish_round(running, "anna", "ben", "carl")
    address = reverse("client_parts", args=[Client.objects.get(name="anna").pk])

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            browser.get(address)
        return len(captured)

    create(name="second", start_from=(running.pk, 1))
    before = queries()
    for number in range(6):
        create(name=f"later {number}", start_from=(running.pk, 1))
    assert queries() == before


def said_for(browser: Browser, workload: str, uses: str = "3") -> dict[str, str]:
    """The commands of a new invitation that is meant for a workload, by their tabs."""
    given = {"uses": uses, "expires": "3600", "workload": workload}
    page = browser.post(reverse("invite"), given, headers=HTMX).content.decode()
    found = re.findall(r'id="panel-(\w+)".*?<code>(.*?)</code>', page, re.DOTALL)
    return {key: html.unescape(text) for key, text in found}


def test_without_a_workload_there_is_a_command_for_each_kind(browser: Browser) -> None:
    said = said_for(browser, "")
    assert list(said) == ["one", "file", "script", "many", "docker", "several"]
    assert "--workload" not in said["one"] and said["one"].endswith("--name my-site")
    assert "--workloads workloads \\\n  --allow my-workload" in said["file"]
    assert said["script"].endswith("--name my-site \\\n  -- .venv/bin/python train.py")
    assert said["many"].endswith("--name laptop \\\n  --clients 3")
    assert "many" not in said_for(browser, "", uses="1")


def hint_of_many(browser: Browser, workload: str) -> bool:
    """Whether the commands for many clients tell how to see who gets what."""
    given = {"uses": "3", "expires": "3600", "workload": workload}
    page = browser.post(reverse("invite"), given, headers=HTMX).content.decode()
    assert 'id="panel-many"' in page
    return "with the word preview after run.py" in page


def test_many_clients_can_be_drawn_first_where_run_py_knows_the_workload(browser: Browser, enrol: Enrol) -> None:
    assert hint_of_many(browser, "") and hint_of_many(browser, "digits")
    enrol("anna", **telling())
    assert not hint_of_many(browser, "chest-xray")


def test_the_commands_fit_a_built_in_workload(browser: Browser) -> None:
    said = said_for(browser, "synthetic")
    assert list(said) == ["one", "many", "docker", "several"]
    assert all("--workload synthetic" in text and "--allow" not in text for text in said.values())


def test_the_commands_fit_a_workload_that_only_sites_have(browser: Browser, enrol: Enrol) -> None:
    enrol("anna", **telling())
    said = said_for(browser, "chest-xray")
    assert list(said) == ["one", "script", "many", "docker", "several"]
    flags = ("--workloads workloads", "--allow chest-xray", "--workload chest-xray")
    assert all(flag in text for flag in flags for key, text in said.items() if key != "script")
    assert "train.py" in said["script"]


def test_the_commands_fit_a_workload_of_the_servers_own_folder_or_package(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: Any = {"lines": SimpleNamespace(title="Lines"), "ward": SimpleNamespace(title="")}
    places = {"lines": Place("/srv/own/lines.py"), "ward": Place("ward_models:W", "ward-models")}
    monkeypatch.setattr(meant.foreign, "place_of", places.get)
    source = known.copy
    WORKLOADS.plug(source)
    try:
        lines, ward = said_for(browser, "lines"), said_for(browser, "ward")
        page = browser.get(f"{reverse('invite')}?workload=lines", headers=HTMX).content.decode()
    finally:
        WORKLOADS.unplug(source)
    assert "--workloads workloads \\\n  --allow lines" in lines["one"] and "script" not in lines
    assert ".venv/bin/pip install ward-models\n" in ward["one"] and "--allow ward" in ward["one"]
    assert "pip install ward-models && \\" in ward["docker"] and "--workloads" not in ward["docker"]
    assert '<option value="lines" selected>Lines</option>' in page


def test_every_command_is_read_by_the_agent(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workloads").mkdir()
    monkeypatch.chdir(tmp_path)
    for key, text in [*said_for(browser, "").items(), *said_for(browser, "synthetic").items()]:
        if key in ("one", "file", "script", "many"):
            words = shlex.split(text.replace("\\\n", " ").splitlines()[-1])
            flags = words[words.index("clientagent/run.py") + 1 :]
            read = cli.read(flags[: flags.index("--")] if "--" in flags else flags, {})
            assert read.join_code and read.server == "http://testserver" and read.insecure


def test_a_workload_that_nobody_has_is_refused_beside_the_field(browser: Browser) -> None:
    given = {"uses": "3", "expires": "3600", "workload": "nope"}
    page = browser.post(reverse("invite"), given, headers=HTMX).content.decode()
    assert "field is-bad" in page and not Invitation.objects.exists()


def test_the_docker_command_mounts_the_data_of_the_site(browser: Browser) -> None:
    said = {one["key"]: one["text"] for one in commands.commands(RequestFactory().get("/"), "CODE")}
    assert '-v "$PWD/data":/data:ro' in said["docker"] and "--data /data" in said["docker"]
    arguments = shlex.split(said["docker"].replace("\\\n", " "))
    assert arguments[:2] == ["docker", "run"]
    inside = shlex.split(arguments[-1].replace("\\\n", " ").partition("&&")[2])
    assert inside[-4:] == ["--state", "/state", "--data", "/data"]
