"""Workloads: the list, and the page of each, for what is built in and for what only sites have."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard.pages.workloads import catalogue, holders, views
from federation import access, foreign
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.declaration import from_json
from federation.fl.workloads.foreign import Place
from federation.foreign.declared import Declared, Problem, State
from federation.models import Client, ServedWorkload, TrainingSession
from tests.dashboard.cast import HTMX, Create, Enrol
from tests.dashboard.markup import compact
from tests.dashboard.test_pages import assert_keeps_the_policy

DIGEST, OTHER = "a1" * 32, "b2" * 32
AUC = {"name": "auc", "title": "AUC", "direction": "max", "unit": "share", "combine": "mean"}
DEPTH = {"name": "depth", "kind": "int", "default": 18, "minimum": 1, "maximum": 152, "help": "Layers of the network."}


def tell(client: Client, name: str = "chest-xray", *, digest: str = DIGEST, **more: Any) -> ServedWorkload:
    """What a site's catalogue says of one workload."""
    declaration = {"name": name, "digest": digest, "title": "Chest X-ray", "kinds": ["train", "evaluate"], **more}
    version, examples = declaration.get("version", ""), declaration.get("num_examples")
    return ServedWorkload.objects.create(
        client=client, name=name, digest=digest, version=version, num_examples=examples, declaration=declaration
    )


def page_of(browser: Browser, name: str = "chest-xray", **query: object) -> str:
    answer = browser.get(reverse("workload", args=[name]), query)
    assert answer.status_code == 200
    return compact(answer.content.decode())


def listed(browser: Browser, **query: object) -> dict[str, str]:
    """The text of each row, by the workload's name."""
    page = compact(browser.get(reverse("workloads"), query).content.decode())
    rows = re.findall(r'<tr data-workload="([^"]+)">(.*?)</tr>', page)
    return {name: re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row)) for name, row in rows}


# ---- the list


def test_it_names_what_is_built_in_and_what_only_sites_have(browser: Browser, enrol: Enrol) -> None:
    anna, ben = enrol("anna", "ben")
    tell(anna, version="1.2")
    tell(ben, version="1.3", digest=OTHER)
    rows = listed(browser)
    assert list(rows) == [*WORKLOADS, "chest-xray"]
    assert "Built in" in rows["digits"] and "Handwritten digits" in rows["digits"]
    assert "Only at sites" in rows["chest-xray"] and "1.2 and 1.3" in rows["chest-xray"]
    assert re.search(r" 2 2 online 0 none yet", rows["chest-xray"])


def test_clients_that_report_nothing_count_for_what_is_built_in_alone(browser: Browser, enrol: Enrol) -> None:
    anna, *_ = enrol("anna", "ben", "carl")
    ServedWorkload.objects.create(client=anna, name="digits", digest=WORKLOADS["digits"].digest())
    tell(anna)
    rows = listed(browser)
    assert re.search(r" 3 3 online", rows["digits"]) and re.search(r" 1 1 online", rows["chest-xray"])
    Client.objects.filter(name="carl").update(last_seen=timezone.now() - timedelta(hours=1))
    assert re.search(r" 3 2 online", listed(browser)["digits"])


def test_who_serves_none_of_it_is_not_counted(browser: Browser, enrol: Enrol) -> None:
    ServedWorkload.objects.create(client=enrol("anna")[0], name="digits", num_examples=0)
    assert re.search(r" 0 0 online", listed(browser)["digits"])


def test_who_has_another_version_of_what_is_built_in_is_counted_apart(browser: Browser, enrol: Enrol) -> None:
    anna, ben = enrol("anna", "ben")
    for client, digest in ((anna, WORKLOADS["digits"].digest()), (ben, OTHER)):
        ServedWorkload.objects.create(client=client, name="digits", digest=digest)
    assert "1 with another version" in listed(browser)["digits"]
    assert "trains differently: left out of its sessions" in page_of(browser, "digits")
    assert "as on this server" in page_of(browser, "digits")


def test_an_earlier_release_that_trains_the_same_is_no_other_version(browser: Browser, enrol: Enrol) -> None:
    (anna,) = enrol("anna")
    ServedWorkload.objects.create(client=anna, name="digits", digest=WORKLOADS["digits"].accepts[0])
    assert "another version" not in listed(browser)["digits"]
    assert "trains the same as the server" in page_of(browser, "digits")


def test_it_says_what_the_last_session_came_to(browser: Browser, trained: TrainingSession) -> None:
    assert re.search(r" 1 first Running, .*0\.750 accuracy", listed(browser)["synthetic"])


def test_it_finds_by_name_and_title(browser: Browser, enrol: Enrol) -> None:
    tell(enrol("anna")[0])
    assert list(listed(browser, q="HANDWRITTEN")) == ["digits"]
    assert list(listed(browser, q="xray")) == ["chest-xray"]
    assert "No workload fits" in browser.get(reverse("workloads"), {"q": "nothing"}).content.decode()


@pytest.mark.parametrize("gone", ["removed", "disabled"])
def test_what_only_a_client_that_is_gone_has_is_not_counted(browser: Browser, enrol: Enrol, gone: str) -> None:
    (anna,) = enrol("anna")
    tell(anna)
    if gone == "removed":
        Client.objects.update(removed_at=timezone.now())
        assert "chest-xray" not in listed(browser)
        assert browser.get(reverse("workload", args=["chest-xray"])).status_code == 404
    else:
        Client.objects.update(enabled=False)
        assert re.search(r" 0 0 online", listed(browser)["chest-xray"])
        assert "New session" not in listed(browser)["chest-xray"], "the form does not offer it"
        page = page_of(browser)
        assert "Only disabled clients reported it." in page
        assert f"{reverse('session_new')}?workload=chest-xray" not in page


@pytest.mark.parametrize("many", [1, 20])
def test_it_asks_the_same_for_many_workloads_clients_and_sessions(
    browser: Browser,
    enrol: Enrol,
    create: Create,
    many: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for client in enrol(*(f"site-{n}" for n in range(many))):
        for n in range(many):
            tell(client, f"workload-{n}")
    for n in range(many):
        create(name=f"run-{n}")
    with django_assert_num_queries(11):
        assert browser.get(reverse("workload_rows")).status_code == 200
    with django_assert_num_queries(11):
        assert browser.get(reverse("workload_parts", args=["workload-0"])).status_code == 200


def test_a_page_of_it_is_bounded(browser: Browser, enrol: Enrol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PER_PAGE", 2)
    monkeypatch.setattr(holders, "MOST_VARIANTS", 1)
    for n, client in enumerate(enrol("anna", "ben", "carl")):
        tell(client, digest=f"{n:064x}")
    known = [*WORKLOADS, "chest-xray"]
    pages = [list(listed(browser, page=number)) for number in range(1, len(known) // 2 + 1)]
    assert pages == [known[at : at + 2] for at in range(0, len(known), 2)] and len(known) % 2 == 0
    page = page_of(browser)
    assert page.count("data-client=") == 2 and page.count("data-digest=") == 1
    assert "The 1 most frequent versions are listed." in page
    assert page_of(browser, page=2).count("data-client=") == 1


# ---- the page of one


def test_the_page_of_one_that_only_sites_have_shows_all_that_they_declare(browser: Browser, enrol: Enrol) -> None:
    anna, ben = enrol("anna", "ben")
    about = {"summary": "Pneumonia or not.", "options": [DEPTH], "measures": [AUC], "train_defaults": {"epochs": 3}}
    tell(anna, version="1.2", num_examples=1200, **about)
    tell(ben, version="1.2", num_examples=800, **about)
    page = page_of(browser)
    assert '<h1 class="workload">Chest X-ray</h1>' in page and "Pneumonia or not." in page and "Only at sites" in page
    option = re.search(r'<tr data-option="depth">.*?</tr>', page)
    assert option and "18" in option[0] and "A whole number from 1 to 152" in option[0] and "Layers" in option[0]
    measure = re.search(r'<li data-measure="auc".*?</li>', page)
    assert measure and "AUC" in measure[0] and "higher is better; share; mean of the sites" in measure[0]
    assert "Main" in measure[0]
    variant = re.search(rf'<tr data-digest="{DIGEST}">.*?</tr>', page)
    assert variant and "1.2" in variant[0] and DIGEST[:8] in variant[0] and "2\u202f000" in variant[0]
    holder = re.search(r'<tr data-client="ben">.*?</tr>', page)
    assert holder and "trains and evaluates" in holder[0] and "800" in holder[0] and "Online" in holder[0]
    assert re.search(r"<dt>Epochs</dt> ?<dd> ?3 ?</dd>", page)
    assert "No session has used it yet." in page


@pytest.mark.parametrize("counted", [True, False])
def test_a_dash_for_the_examples_is_explained(browser: Browser, enrol: Enrol, counted: bool) -> None:
    tell(enrol("anna")[0], **({"num_examples": 500} if counted else {}))
    assert ("A script says so with" in page_of(browser)) is not counted


def test_it_is_shown_as_most_sites_declare_it(enrol: Enrol) -> None:
    anna, ben, carl = enrol("anna", "ben", "carl")
    for client, title in ((anna, "Usual"), (ben, "Usual")):
        tell(client, title=title)
    tell(carl, digest=OTHER, title="Another")
    assert [one.title for one in catalogue.of(["chest-xray"])] == ["Usual"]


def test_page_and_form_go_by_the_same_version(browser: Browser, enrol: Enrol) -> None:
    for n, client in enumerate(enrol("anna", "ben", "carl", "dora", "emil")):
        later = n > 1  # three clients, each with a source of its own
        tell(client, version="2" if later else "1", title="Later" if later else "Earlier", digest=f"{n * later:064x}")
    assert [one.title for one in catalogue.of(["chest-xray"])] == ["Later"]
    form = browser.get(reverse("session_new"), {"workload": "chest-xray"}).context["form"]
    assert form["workload"].value() == "chest-xray@2"


def test_the_page_of_what_is_built_in_needs_no_client(browser: Browser) -> None:
    page = page_of(browser, "digits")
    assert "No client has reported it yet." in page and "Nothing to install" in page
    assert WORKLOADS["digits"].digest()[:8] in page and "It has no options" in page
    assert 'data-measure="accuracy"' in page


def test_its_sessions_and_their_results_are_listed(browser: Browser, trained: TrainingSession, create: Create) -> None:
    create(name="of another", workload="digits", workload_options={})
    page = page_of(browser, "synthetic")
    row = re.search(rf'<tr data-session="{trained.pk}">.*?</tr>', page)
    assert row and "0.750" in row[0] and "2 of 3" in row[0]
    assert "of another" not in page


def test_what_cannot_be_read_is_shown_with_its_fault(browser: Browser, enrol: Enrol) -> None:
    tell(enrol("anna")[0], options=[{"name": "depth", "kind": "colour"}])
    assert "cannot be read" in listed(browser)["chest-xray"]
    page = page_of(browser)
    assert "kind" in page and "colour" in page and "anna" in page
    assert "It has no options" not in page and "Measures" not in page


def test_every_text_from_a_site_is_escaped(browser: Browser, enrol: Enrol) -> None:
    evil = "<script>alert(1)</script>"
    tell(
        enrol("anna")[0], title=evil, summary=evil, version=evil,
        options=[{"name": "a", "kind": "str", "default": evil, "help": evil, "label": evil, "choices": [evil]}],
        measures=[{"name": evil, "title": evil, "unit": "<b>"}],
    )  # fmt: skip
    for at in (reverse("workloads"), reverse("workload", args=["chest-xray"])):
        page = browser.get(at).content.decode()
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page
        assert_keeps_the_policy(page)


@pytest.mark.parametrize("name", ["nothing", "__proto__", "a" * 500, "list"])
def test_a_workload_that_is_not_there_is_not_found(browser: Browser, name: str) -> None:
    for route in ("workload", "workload_parts"):
        assert browser.get(reverse(route, args=[name])).status_code == 404


def test_a_workload_called_as_an_address_has_its_page(browser: Browser, enrol: Enrol) -> None:
    tell(enrol("anna")[0], "list")
    assert "Chest X-ray" in page_of(browser, "list")
    assert "data-workload" in browser.get(reverse("workload_rows")).content.decode()


def test_its_part_comes_alone_and_asks_for_itself(browser: Browser, enrol: Enrol) -> None:
    tell(enrol("anna")[0])
    part = browser.get(reverse("workload_parts", args=["chest-xray"]), headers=HTMX).content.decode()
    assert "<html" not in part and f'hx-get="{reverse("workload_parts", args=["chest-xray"])}?page=1"' in part


# ---- packages and files of the server


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the server know a foreign workload of some place, and places that give none."""

    def knows(place: Place, *problems: Problem) -> None:
        told = from_json({"name": "means", "digest": DIGEST, "version": "2.1", "title": "Means"})
        state = State("", {"means": Declared(told, place, 1, (OTHER,))}, problems)
        monkeypatch.setattr(foreign, "keeper", SimpleNamespace(state=lambda: state))

    return knows


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (Place("/srv/workloads/means.py"), "Copy means.py of this server"),
        (Place("means:Means", "fl means"), "pip install &#x27;fl means&#x27;"),
        (Place(os.fsdecode(b"/srv/caf\xe9.py")), "Copy caf?.py of this server"),
    ],
)
def test_what_the_server_has_from_elsewhere_says_how_a_site_gets_it(
    browser: Browser, enrol: Enrol, knows: Callable[..., None], place: Place, told: str
) -> None:
    knows(place)
    anna, ben = enrol("anna", "ben")
    for client, digest in ((anna, OTHER), (ben, "0" * 64)):
        ServedWorkload.objects.create(client=client, name="means", digest=digest)
    row = listed(browser)["means"]
    assert "On this server" in row and "2.1" in row and "1 with another version" in row
    page = page_of(browser, "means")
    assert told in page and "/srv/" not in page and "trains differently" in page
    assert DIGEST in page and "trains the same as the server" in page
    form = browser.get(reverse("session_new"), {"workload": "means"}).context["form"]
    assert form["workload"].value() == "means"


def test_a_file_that_cannot_be_used_is_listed_with_its_fault(browser: Browser, knows: Callable[..., None]) -> None:
    faults = [Problem(Place(f"/srv/<b>{n}.py"), f"<b>{n}.py, line 3: SyntaxError.") for n in range(30)]
    knows(Place("/srv/means.py"), *faults)
    page = browser.get(reverse("workloads")).content.decode()
    assert page.count("line 3: SyntaxError.") == views.MOST_PROBLEMS and "<b>" not in page
    assert "cannot be used" in page
    knows(Place("/srv/means.py"))
    assert "cannot be used" not in browser.get(reverse("workloads")).content.decode()


# ---- the way to a session


def test_a_new_session_begins_with_the_workload_that_was_chosen(browser: Browser) -> None:
    at = f"{reverse('session_new')}?workload=threes_and_sevens"
    assert at in browser.get(reverse("workload", args=["threes_and_sevens"])).content.decode()
    answer = browser.get(at)
    form = answer.context["form"]
    assert form["workload"].value() == "threes_and_sevens" and form["name"].value().startswith("threes_and_sevens ")
    wanted = WORKLOADS["threes_and_sevens"].train_defaults
    assert {name: form[name].value() for name in wanted} == dict(wanted)
    assert answer.context["chosen"] == ""


def test_a_new_session_of_what_only_sites_have_begins_as_they_declare_it(browser: Browser, enrol: Enrol) -> None:
    tell(enrol("anna")[0], version="1.2", train_defaults={"epochs": 7}, options=[DEPTH])
    answer = browser.get(reverse("session_new"), {"workload": "chest-xray"})
    form = answer.context["form"]
    assert form["workload"].value() == "chest-xray@1.2" and form["epochs"].value() == 7
    assert "Layers of the network." in answer.content.decode()


def test_a_preset_of_another_workload_gives_way_to_it(browser: Browser) -> None:
    form = browser.get(reverse("session_new"), {"workload": "synthetic", "preset": "mnist"}).context["form"]
    assert form["workload"].value() == "synthetic"


def test_a_workload_that_is_not_there_leaves_the_form_as_it_is(browser: Browser) -> None:
    answer = browser.get(reverse("session_new"), {"workload": "nothing"})
    assert answer.context["form"]["workload"].value() == "digits" and answer.context["chosen"] == "balanced"


def test_who_may_only_see_gets_no_button(mara: User) -> None:
    viewer = User.objects.create_user("vera")
    viewer.groups.add(Group.objects.get_or_create(name=access.VIEWERS)[0])
    browser = Browser()
    browser.force_login(viewer)
    for at in (reverse("workloads"), reverse("workload", args=["digits"])):
        assert reverse("session_new") not in browser.get(at).content.decode()
