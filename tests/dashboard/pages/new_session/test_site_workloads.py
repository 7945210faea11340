"""The form offers workloads that only sites have, with what the sites declare of them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.pages.new_session.site_workloads import key, pair
from federation.models import Client, TrainingSession
from federation.services import clients
from tests.dashboard.pages.new_session.test_new_session import TYPED
from tests.dashboard.test_pages import assert_keeps_the_policy
from tests.federation.services.declaring import DIGEST, NAME, entry, odd_entries, telling
from tests.properties import PROPERTY

Enrol = Callable[..., list[Client]]
VALUE = f"{NAME}@1.2"


@pytest.fixture
def sites(enrol: Enrol) -> list[Client]:
    """Three of four have it."""
    found = enrol("north", "east", "south", "west")
    for client in found[:3]:
        clients.tell(client, telling(), now=timezone.now())
    return found


def page_of(browser: Browser, **query: str) -> str:
    return html.unescape(browser.get(reverse("session_new"), query).content.decode())


def typed(**change: str) -> dict[str, str]:
    """As a person fills in the form for it."""
    kept = {name: value for name, value in TYPED.items() if not name.startswith("workload")}
    return kept | {"workload": VALUE, f"workload.{VALUE}.width": "32", "draft": "1"} | change


def post(browser: Browser, **change: str) -> Any:
    return browser.post(reverse("session_new"), typed(**change))


def test_it_is_offered_with_who_told_it(browser: Browser, sites: list[Client]) -> None:
    page = page_of(browser)
    assert f'<option value="{VALUE}">Chest X-ray 1.2 (3 of 4 sites)</option>' in page
    assert "Told by east, north, south, 3 of 4 sites." in page
    assert "All have the same source, dddddddd." in page
    assert f'name="workload.{VALUE}.width"' in page and "Finds pneumonia." in page
    assert '<option value="auc">AUC</option>' in page
    found = re.search(r'<script id="train-defaults"[^>]*>(.*?)</script>', page)
    assert found and json.loads(found[1])[VALUE] == {"epochs": 3, "batch_size": 8, "learning_rate": 0.05}


def test_without_such_workloads_the_form_is_as_it_was(browser: Browser, enrol: Enrol) -> None:
    enrol("north")
    page = page_of(browser)
    assert "Only at sites" not in page and "Told by" not in page


def test_what_is_to_know_before_one_launches_it_is_said(browser: Browser, sites: list[Client]) -> None:
    now = timezone.now()
    clients.tell(sites[3], telling(entry(digest="e" * 64, options=[], kinds=["train"])), now=now)
    page = page_of(browser)
    assert "west declares it otherwise; it is offered as most sites declare it." in page
    assert "Their sources differ: dddddddd at east, north, south; eeeeeeee at west." in page
    for client in sites[:3]:
        clients.tell(client, telling(entry(kinds=["train"])), now=now)
    assert "No site can make its first model: begin with a file of your own" in page_of(browser)


def test_what_was_typed_becomes_the_session(browser: Browser, sites: list[Client]) -> None:
    post(browser, main_measure="auc", equal_digests="on")
    session = TrainingSession.objects.get()
    assert (session.workload, session.workload_version, session.workload_digest) == (NAME, "1.2", DIGEST)
    assert (session.workload_options, session.main_measure, session.equal_digests) == ({"width": 32}, "auc", True)
    assert session.told is not None and session.told.title == "Chest X-ray"


def test_a_refused_option_is_said_beside_its_field(browser: Browser, sites: list[Client]) -> None:
    answer = browser.post(reverse("session_check"), typed(**{f"workload.{VALUE}.width": "0"}))
    assert answer.json()["errors"] == {f"workload.{VALUE}.width": "Width must be a whole number from 1 to 512, not 0."}


def test_the_switch_for_equal_digests_is_shown_for_them_alone(browser: Browser, sites: list[Client]) -> None:
    found = re.search(r'<script id="shown-with"[^>]*>(.*?)</script>', page_of(browser))
    assert found and json.loads(found[1])["equal_digests"] == {"field": "workload", "values": [VALUE]}


def test_who_would_take_part_are_the_sites_that_have_it(browser: Browser, sites: list[Client]) -> None:
    answer = html.unescape(browser.get(reverse("session_who"), typed()).content.decode())
    assert "3 of 3" in answer and "Not asked: west (it did not report this workload)." in answer


def test_who_would_take_part_depends_on_the_switch_for_equal_digests(browser: Browser, sites: list[Client]) -> None:
    clients.tell(sites[0], telling(entry(digest="e" * 64)), now=timezone.now())
    assert "#id_equal_digests" in re.search(r'hx-include="([^"]*schedule[^"]*)"', page_of(browser))[1]  # type: ignore[index]
    assert "Not asked: west (" in page_of_who(browser, typed())
    told = page_of_who(browser, typed(equal_digests="on"))
    assert "Not asked: north (its source of the workload has another digest)" in told


def test_the_first_quorum_is_half_of_the_sites_that_have_it(
    browser: Browser, sites: list[Client], enrol: Enrol
) -> None:
    enrol(*(f"w-{n}" for n in range(9)))
    answer = browser.get(reverse("session_new"), {"workload": NAME})
    assert answer.context["form"]["quorum"].value() == 1
    told = page_of_who(browser, typed(quorum="9"))
    assert "The quorum of 9 cannot be reached: 3 clients have this workload. Lower it" in told
    Client.objects.filter(pk__in=[one.pk for one in sites]).update(tags=["gpu"])
    told = page_of_who(browser, typed(client_tags="tpu"))
    assert "No client that may be asked has this workload now." in told and "enrolled" not in told


def page_of_who(browser: Browser, query: dict[str, str]) -> str:
    answer = html.unescape(browser.get(reverse("session_who"), query).content.decode())
    return re.sub(r"\s+", " ", answer)


def test_the_same_again_fills_the_form_and_says_when_no_site_has_it(browser: Browser, sites: list[Client]) -> None:
    post(browser)
    session = TrainingSession.objects.get()
    page = page_of(browser, **{"from": str(session.pk)})
    assert f'<option value="{VALUE}" selected>' in page
    assert re.search(rf'name="workload\.{re.escape(VALUE)}\.width"[^>]*value="32"', page)
    for client in sites:
        clients.remove(client, by="mara", now=timezone.now())
    page = page_of(browser, **{"from": str(session.pk)})
    assert f'<option value="{VALUE}" selected>chest-xray 1.2, which no site has now</option>' in page
    assert "There is no workload 'chest-xray'" in str(browser.post(reverse("session_check"), typed()).json())


def test_settings_of_the_session_tell_what_the_sites_declared(browser: Browser, sites: list[Client]) -> None:
    post(browser)
    page = html.unescape(
        browser.get(reverse("session_settings", args=[TrainingSession.objects.get().pk])).content.decode()
    )
    for told in ("chest-xray, which only sites have", "Version of the workload", "Width", "Equal digests required"):
        assert told in page


@pytest.mark.parametrize("version", ["", "1.2", 'a "b" <c>/@%', "é"])
def test_a_value_of_the_form_stands_for_name_and_version(version: str) -> None:
    value = key(NAME, version)
    assert pair(value) == (NAME, version or None)
    assert re.fullmatch(r"[\w.@%~-]+", value, re.ASCII)


def test_a_site_that_tells_thousands_of_options_makes_no_form_of_thousands_of_fields(
    browser: Browser, sites: list[Client]
) -> None:
    options = [{"name": f"o{n}", "kind": "int", "default": n} for n in range(50)]
    many = [entry(name=f"w{n}", options=options, measures=[]) for n in range(50)]
    clients.tell(sites[3], telling(*many), now=timezone.now())
    form = browser.get(reverse("session_new")).context["form"]
    assert len(form.fields) < 600 and f"workload.{VALUE}.width" in form.fields
    hidden = next(name for name in (f"w{n}" for n in range(50)) if f"workload.{name}@1.2.o1" not in form.fields)
    page = browser.get(reverse("session_new"), {"workload": hidden})
    assert f"workload.{hidden}@1.2.o1" in page.context["form"].fields
    assert re.search(r'<optgroup label="Only at sites \(\d+ more on the page Workloads\)">', page.content.decode())
    post(browser, workload=f"{hidden}@1.2", **{f"workload.{hidden}@1.2.o1": "7"})
    assert TrainingSession.objects.get().workload_options["o1"] == 7


def test_a_choice_of_yes_and_no_means_what_it_says(browser: Browser, enrol: Enrol) -> None:
    frozen = {"name": "frozen", "kind": "bool", "default": True, "choices": [True, False]}
    clients.tell(enrol("north")[0], telling(entry(options=[frozen])), now=timezone.now())
    for text in ("False", "True"):
        post(browser, **{f"workload.{VALUE}.frozen": text})
    made = TrainingSession.objects.order_by("pk").values_list("workload_options", flat=True)
    assert list(made) == [{"frozen": False}, {"frozen": True}]


@settings(PROPERTY, max_examples=25)
@given(told=st.lists(odd_entries(st.sampled_from(["a", "list", NAME])), max_size=2, unique_by=lambda e: e["name"]))
def test_whatever_a_site_may_tell_every_page_of_it_is_shown(
    browser: Browser, sites: list[Client], told: list[dict[str, Any]]
) -> None:
    clients.tell(sites[3], {"kinds": ["train"], "catalogue": told}, now=timezone.now())
    for at in (reverse("workloads"), reverse("session_new"), reverse("client", args=[sites[3].pk])):
        assert_shown_safely(browser.get(at))
    for one in told:
        assert_shown_safely(browser.get(reverse("workload", args=[one["name"]])))
        chosen = {"workload": one["name"]}
        page = browser.get(reverse("session_new"), chosen)
        assert_shown_safely(page)
        filled = {name: value for name in page.context["form"].fields if (value := page.context["form"][name].value())}
        for route in ("session_check", "session_estimate"):
            assert browser.post(reverse(route), filled).status_code == 200
        assert browser.get(reverse("session_who"), filled).status_code == 200


def assert_shown_safely(answer: Any) -> None:
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert_keeps_the_policy(page)
