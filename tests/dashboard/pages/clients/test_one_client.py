"""One client's page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.clients import client_history, one_client
from federation.models import Client, Round, TrainingSession
from federation.services import clients, rounds, sessions
from federation.services.clients import agent_log
from tests.dashboard.cast import HTMX, Create, Enrol, report
from tests.dashboard.markup import compact
from tests.federation.cast import settle
from tests.federation.services.evaluating import declare, measure, take


def test_a_clients_page_shows_its_rounds_and_curves(trained: TrainingSession, browser: Browser) -> None:
    anna = Client.objects.get(name="anna")
    page = browser.get(reverse("client", args=[anna.pk])).content.decode()
    for text in ("Rounds invited", "Aggregated", "--send-log", "base val loss"):
        assert text in page
    parts = compact(browser.get(reverse("client_parts", args=[anna.pk])).content.decode())
    assert re.findall(r'id="(client-[a-z]+)" hx-get="[^"]+" hx-disinherit="hx-select" hx-select="#\1"', parts) == [
        "client-page",
        "client-turns",
    ]


@pytest.mark.parametrize("told", [{"num_examples": 500}, {}])
def test_a_client_that_does_not_count_its_examples_is_told_how(browser: Browser, enrol: Enrol, told: dict[str, int]):
    (anna,) = enrol("anna")
    clients.tell(anna, told, now=timezone.now())
    page = browser.get(reverse("client", args=[anna.pk])).content.decode()
    assert ('id="no-examples"' in page) is not bool(told)


def test_what_an_agent_logs_stays_text(trained: TrainingSession, browser: Browser) -> None:
    anna = Client.objects.get(name="anna")
    now = timezone.now()
    clients.add_to_log(anna, [(now, "<script>alert(1)</script>\x1b[31m"), (now, "x" * 2000)])
    shown = browser.get(reverse("client_log", args=[anna.pk])).content.decode()
    assert "&lt;script&gt;" in shown and "\x1b" not in shown and "x" * 501 not in shown
    clients.add_to_log(anna, [(now, "again")] * 400)
    anna.log.refresh_from_db()
    assert len(anna.log.lines) == agent_log.LOG_LINES


def test_a_client_is_put_into_groups_and_found_by_them(trained: TrainingSession, browser: Browser) -> None:
    anna = Client.objects.get(name="anna")
    address = reverse("client_retag", args=[anna.pk])
    assert browser.post(address, {"tags": "no/slash"}, headers=HTMX).status_code == 422
    assert browser.post(address, {"tags": "GPU, ward gpu"}, headers=HTMX).status_code == 204
    anna.refresh_from_db()
    assert anna.tags == ["gpu", "ward"]
    rows = browser.get(reverse("client_rows"), {"q": "ward"}).content.decode()
    assert re.findall(r'data-client="(\w+)"', rows) == ["anna"]


def test_only_clients_with_a_tag_are_asked(running: TrainingSession, create: Create) -> None:
    clients.set_tags(Client.objects.get(name="anna"), ["gpu"], by="mara")
    tagged = create(start=True, name="tagged", client_tags=("gpu",), quorum=1)
    for name in ("anna", "ben", "carl"):
        report(running, name)
    assert rounds.advance(tagged, now=timezone.now())
    (seat,) = tagged.active_round().seats.all()  # type: ignore[union-attr]
    assert seat.client.name == "anna"


def test_a_session_whose_clients_are_busy_does_not_hold_up_others(running: TrainingSession, create: Create) -> None:
    for name in ("anna", "ben", "carl"):
        clients.set_tags(Client.objects.get(name=name), ["busy" if name == "anna" else "free"], by="mara")
    blocked = create(start=True, name="blocked", client_tags=("busy",), quorum=1)
    free = create(start=True, name="free", client_tags=("free",), quorum=1)
    report(running, "ben")
    report(running, "carl")
    assert rounds.open_next(now=timezone.now())
    assert free.active_round() is not None and blocked.active_round() is None


def evaluations_of(browser: Browser, name: str, query: str = "") -> str:
    """That part of a client's page."""
    address = reverse("client", args=[Client.objects.get(name=name).pk])
    page = compact(browser.get(f"{address}{query}").content.decode())
    return page.partition('id="evaluations"')[2].partition("</section>")[0]


def test_a_clients_page_lists_its_evaluations(trained: TrainingSession, browser: Browser, enrol: Enrol) -> None:
    assert "It was asked to measure no model yet." in evaluations_of(browser, "anna")
    declare(trained)
    sessions.cancel(trained, by=None, now=timezone.now())
    enrol("dora", "emil", kinds=["train", "evaluate"])
    model, now = trained.models.get(version=2), timezone.now()
    measuring = settle(sessions.evaluate(model, by=None, now=now), now=now)
    take("dora", now)
    assert ">Evaluating<" in evaluations_of(browser, "dora") and ">Offered<" in evaluations_of(browser, "emil")
    measure("dora", now, num_examples=30, accuracy=0.9, gap=2.0)
    take("emil", now)
    measure("emil", now, accuracy=None)
    settle(measuring, now=now)
    of_dora, of_emil = evaluations_of(browser, "dora"), evaluations_of(browser, "emil")
    assert f'<a href="{reverse("model", args=[model.pk])}">first, v2</a>' in of_dora, "not the copy that was measured"
    assert f'<a href="{reverse("session", args=[measuring.pk])}">{measuring.name}</a>' in of_dora
    assert ">Reported<" in of_dora and '0.900<span class="faint small">accuracy</span>' in of_dora
    assert 'data-label="Examples">30<' in of_dora
    assert "not finite" in of_emil and "It was asked to measure no model yet." in evaluations_of(browser, "anna")


def test_a_long_list_of_evaluations_has_pages_of_its_own(
    trained: TrainingSession, browser: Browser, enrol: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_client, "PER_PAGE", 1)
    declare(trained)
    sessions.cancel(trained, by=None, now=timezone.now())
    enrol("dora", kinds=["train", "evaluate"])
    for accuracy in (0.25, 0.75):
        now = timezone.now()
        measuring = settle(sessions.evaluate(trained.models.get(version=2), by=None, now=now), now=now)
        take("dora", now)
        measure("dora", now, accuracy=accuracy)
        settle(measuring, now=now)
    assert "0.750" in evaluations_of(browser, "dora") and "0.250" not in evaluations_of(browser, "dora")
    assert "0.250" in evaluations_of(browser, "dora", "?evaluations=2")
    assert "0.250" in evaluations_of(browser, "dora", "?evaluations=99")
    page = browser.get(reverse("client", args=[Client.objects.get(name="dora").pk])).content.decode()
    assert 'href="?page=1&evaluations=2"' in page


def test_seats_are_counted_by_their_kind_of_work(
    trained: TrainingSession, enrol: Enrol, django_assert_num_queries: Any
) -> None:
    anna = Client.objects.get(name="anna")
    in_training = anna.seats.count()
    assert client_history.num_turns(anna) == (in_training, 0)
    enrol("dora", kinds=["train", "evaluate"])
    settle(sessions.evaluate(trained.models.get(version=2), by=None, now=timezone.now()), now=timezone.now())
    assert client_history.num_turns(Client.objects.get(name="dora")) == (0, 1)
    Round.objects.filter(seats__client=anna, number=1).update(kind="initialise")
    with django_assert_num_queries(2):
        assert client_history.num_turns(anna) == (in_training - 1, 0)
