import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import contribution
from federation.models import Client, Participation, TrainingSession
from federation.services import rounds
from tests.dashboard.cast import HTMX, Create, Enrol, finish_round, report
from tests.dashboard.markup import compact


def share(name: str, histogram: Any) -> None:
    Client.objects.filter(name=name).update(info={"label_histogram": histogram})


def page_of(browser: Browser, session: TrainingSession, **query: str) -> str:
    return browser.get(reverse("session_data", args=[session.pk]), query, headers=HTMX).content.decode()


def test_labels_are_shaded_by_their_share_within_a_client(running: TrainingSession) -> None:
    share("anna", {"cat": 50, "dog": 50, "owl": 0})
    share("ben", {"cat": 999, "dog": 1, "owl": 0})
    heat = contribution.labels(running)
    assert heat.heads == ["cat", "dog", "owl"]
    cells = {row.client.name: [(cell.text, cell.level) for cell in row.cells if cell] for row in heat.rows}
    assert cells == {
        "anna": [("50", 7), ("50", 7), ("0", 0)],
        "ben": [("999", 7), ("1", 1), ("0", 0)],
        "carl": [],
    }
    assert heat.rows[1].cells[1] and heat.rows[1].cells[1].title == "ben, dog: 1 of 1\u202f000, 0\u202f%"


def test_the_client_that_is_furthest_from_the_others_is_named(running: TrainingSession) -> None:
    share("anna", {"cat": 50, "dog": 50})
    share("ben", {"cat": 45, "dog": 55})
    assert contribution.labels(running).foot == "The mixes of labels are alike."
    share("carl", {"cat": 90, "dog": 10})
    assert "<strong>carl</strong> (cat: 90\u202f%, 48\u202f% elsewhere)" in str(contribution.labels(running).foot)


def test_labels_of_another_workload_are_not_shown(browser: Browser, running: TrainingSession) -> None:
    digits = {"label_histogram": {"3": 5, "7": 6}, "examples": {"digits": 11}}
    Client.objects.filter(name="anna").update(info=digits)
    assert contribution.labels(running).is_empty
    Client.objects.filter(name="ben").update(info=digits | {"examples": {"synthetic": 11}})
    heat = contribution.labels(running)
    assert [(row.client.name, bool(row.cells)) for row in heat.rows] == [
        ("anna", False),
        ("ben", True),
        ("carl", False),
    ]
    page = page_of(browser, running)
    assert page.count("counted another workload&#x27;s labels") + page.count("counted another workload's labels") == 1
    assert page.count(">does not share label counts<") == 1


@pytest.mark.parametrize("sent", [None, "many", [], {"cat": "9"}, {"cat": -1}, {"cat": True}, {"cat": 0}])
def test_what_is_no_histogram_is_not_shown(running: TrainingSession, sent: Any) -> None:
    share("anna", sent)
    assert contribution.labels(running).is_empty


def test_the_rarest_labels_share_a_column(running: TrainingSession) -> None:
    share("anna", {f"l{n}": n for n in range(1, 31)})
    heat = contribution.labels(running)
    assert (len(heat.heads), heat.heads[0], heat.heads[-1]) == (20, "l30", "others")
    last = heat.rows[0].cells[-1]
    assert last and last.text == str(sum(range(1, 12)))


def test_hostile_labels_and_names_stay_text(browser: Browser, running: TrainingSession) -> None:
    share("anna", {"<img src=x>": 5})
    page = page_of(browser, running)
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_empty_places_say_what_brings_something(browser: Browser, create: Create, running: TrainingSession) -> None:
    page = page_of(browser, running)
    assert "<code>--share-histogram</code>" in page
    assert "after the first round that becomes a model" in page
    session = create(name="new", start=True)
    assert "once a round was opened" in page_of(browser, session)


def test_a_draft_shows_the_labels_of_those_that_it_could_ask(browser: Browser, create: Create, enrol: Enrol) -> None:
    draft = create()
    assert "once one is online that it could ask" in page_of(browser, draft)
    enrol("anna", "ben", "carl")
    assert "No client that this session could ask shares" in compact(page_of(browser, draft))
    share("anna", {"cat": 50, "dog": 5})
    share("ben", {"cat": 1, "dog": 80})
    Client.objects.filter(name="carl").update(last_seen=timezone.now() - timedelta(hours=1))
    heat = contribution.labels(draft)
    assert [row.client.name for row in heat.rows] == ["anna", "ben"] and heat.heads == ["cat", "dog"]
    page = compact(page_of(browser, draft))
    assert "Furthest from the mix of the others" in page and "Of the clients that this session could ask now." in page
    assert "clients-changed" in page and "clients-changed" not in page_of(browser, create(name="new", start=True))


def test_a_draft_for_some_clients_shows_these_alone(create: Create, enrol: Enrol) -> None:
    enrol("anna", "ben")
    Client.objects.filter(name="anna").update(tags=["ward"])
    heat = contribution.labels(create(client_tags=("ward",)))
    assert [row.client.name for row in heat.rows] == ["anna"]


def test_norm_cosine_and_examples_are_those_of_the_aggregation(browser: Browser, running: TrainingSession) -> None:
    for name, value in (("anna", 0.1), ("ben", 0.2), ("carl", -0.05)):
        report(running, name, value=value)
    finish_round(running)
    seats = {seat.client.name: seat for seat in Participation.objects.filter(status="aggregated")}
    assert len(seats) == 3
    found = {row.client.name: row.cells for row in contribution.by_round(running, "cosine").rows}
    texts = {name: cells[0].text for name, cells in found.items() if cells[0]}
    assert texts == {"anna": "1.00", "ben": "1.00", "carl": "−1.00"}
    assert [cells[0].level for cells in found.values() if cells[0]] == [7, 7, 0]
    norms = [row.cells[0].text for row in contribution.by_round(running, "norm").rows if row.cells[0]]
    assert norms == [f"{seats[name].norm:.2f}" for name in ("anna", "ben", "carl")]
    page = page_of(browser, running)
    assert "Contribution to v1" in page
    assert "<strong>carl</strong>:" not in page  # one round of three clients raises no suspicion


def test_the_measure_is_chosen_and_kept_in_the_address(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl")
    page = compact(page_of(browser, running, by="examples"))
    assert re.search(r'id="by-examples" aria-pressed="true"', page)
    assert 'data-query="by=examples"' in page
    assert ">50</td>" in page
    assert 'id="by-norm" aria-pressed="true"' in compact(page_of(browser, running, by="nonsense"))
    whole = compact(browser.get(reverse("session", args=[running.pk]), {"by": "cosine"}).content.decode())
    assert re.search(r'id="by-cosine" aria-pressed="true"', whole)


def test_many_clients_and_rounds_are_bounded(
    enrol: Enrol, create: Create, ticking: None, browser: Browser, django_assert_max_num_queries: Any
) -> None:
    enrol(*(f"site-{n:03}" for n in range(120)), label_histogram={"a": 1, "b": 2})
    session = create(start=True)

    assert rounds.advance(session, now=timezone.now())
    Participation.objects.filter(round__session=session).update(status="reported", num_examples=5)
    with django_assert_max_num_queries(8):
        found = contribution.of(session)
    assert (len(found.labels.rows), found.labels.hidden) == (30, 90)


def test_labels_that_only_options_say_are_not_expected_of_anybody(
    browser: Browser, create: Create, enrol: Enrol
) -> None:
    enrol("anna")
    share("anna", {"cat": 5})
    page = compact(page_of(browser, create(workload="images", workload_options={})))
    assert "agents do not count them before they train" in page and "run.py preview" in page
    assert "--share-histogram" not in page and "cat" not in page
