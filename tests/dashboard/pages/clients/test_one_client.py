"""One client's page."""

from __future__ import annotations

import re

from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.models import Client, TrainingSession
from federation.services import clients, rounds
from federation.services.clients import agent_log
from tests.dashboard.cast import HTMX, Create, report
from tests.dashboard.markup import compact


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
