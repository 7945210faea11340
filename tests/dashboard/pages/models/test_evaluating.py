"""Having a model measured: who can, who cannot and why, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.models import finding, lineage, sites
from federation.models import Client, GlobalModel, ServedWorkload, TrainingSession
from federation.services import clients, models, sessions
from federation.session_settings import Spec
from tests.dashboard.cast import HTMX, Create, Enrol
from tests.dashboard.markup import compact
from tests.federation.services.declaring import NAME, entry, telling
from tests.federation.services.evaluating import declare, measure, take

BOTH = ["train", "evaluate"]


@pytest.fixture
def model(trained: TrainingSession, enrol: Enrol) -> GlobalModel:
    """The newest model of a session whose clients train alone; dora and emil evaluate, too."""
    declare(trained)
    sessions.cancel(trained, by=None, now=timezone.now())
    enrol("dora", "emil", kinds=BOTH)
    return trained.models.latest("version")


def ask(browser: Browser, model: GlobalModel) -> str:
    return compact(browser.get(reverse("model_evaluate", args=[model.pk]), headers=HTMX).content.decode())


def evaluate(browser: Browser, model: GlobalModel, *names: str) -> TrainingSession:
    chosen = [client.pk for client in Client.objects.filter(name__in=names)]
    answer = browser.post(reverse("model_evaluate", args=[model.pk]), {"clients": chosen})
    session = TrainingSession.objects.latest("pk")
    assert answer.status_code == 302 and answer["Location"] == reverse("session", args=[session.pk])
    return session


def test_the_question_says_who_can_and_why_others_cannot(browser: Browser, model: GlobalModel) -> None:
    page = ask(browser, model)
    able, unable = page.split("Sites that cannot")
    assert re.findall(r'name="clients" value="\d+" id="[^"]+"( checked)?>', able) == [" checked"] * 2
    assert "dora" in able and "emil" in able and "anna" not in able
    assert unable.count("its agent does not evaluate") == 3


def test_those_that_can_are_named_however_many_cannot(model: GlobalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "MOST", 3)
    found = sites.of(model, now=timezone.now())
    assert [(site.client.name, bool(site.why)) for site in found] == [("dora", False), ("emil", False), ("anna", True)]


def test_a_site_with_another_workload_or_no_example_cannot(model: GlobalModel) -> None:
    dora, emil = Client.objects.filter(name__in=("dora", "emil")).order_by("name")
    ServedWorkload.objects.update_or_create(client=dora, name="synthetic", defaults={"digest": "0" * 64})
    ServedWorkload.objects.update_or_create(client=emil, name="synthetic", defaults={"num_examples": 0})
    whys = {site.client.name: site.why for site in sites.of(model, now=timezone.now())}
    assert whys["dora"] == "it reported another version of the workload"
    assert whys["emil"] == "it reported no example for the workload"


def test_a_site_that_is_away_can_be_chosen_and_is_not_ticked(browser: Browser, model: GlobalModel) -> None:
    Client.objects.filter(name="dora").update(last_seen=timezone.now() - timedelta(minutes=5))
    page = ask(browser, model)
    assert re.findall(r'name="clients" value="\d+" id="[^"]+"( checked)?>', page) == [" checked", ""]
    assert "asked only if it is back" in page


def test_a_disabled_site_is_not_offered(browser: Browser, model: GlobalModel) -> None:
    clients.set_enabled(Client.objects.get(name="dora"), False, by="mara")
    assert "dora" not in ask(browser, model)


def test_where_nobody_can_there_is_no_button(browser: Browser, model: GlobalModel) -> None:
    Client.objects.update(kinds=["train"])
    page = ask(browser, model)
    assert "No site can measure it now" in page and 'class="btn btn--primary"' not in page


@pytest.mark.parametrize(("chosen", "said"), [([], "Choose at least one site"), (["anna"], "anna does not evaluate")])
def test_a_choice_that_cannot_be_is_refused_and_kept(
    browser: Browser, model: GlobalModel, chosen: list[str], said: str
) -> None:
    before = TrainingSession.objects.count()
    ids = [client.pk for client in Client.objects.filter(name__in=chosen)]
    answer = browser.post(reverse("model_evaluate", args=[model.pk]), {"clients": ids}, headers=HTMX)
    assert answer.status_code == 422 and said in answer.content.decode()
    assert TrainingSession.objects.count() == before


def test_without_scripts_the_question_is_a_page(browser: Browser, model: GlobalModel) -> None:
    page = browser.get(reverse("model_evaluate", args=[model.pk])).content.decode()
    assert "<h1" in page and "Evaluate v2" in page


def test_an_evaluation_is_made_and_its_numbers_are_on_the_models_page(
    browser: Browser, model: GlobalModel, settled: Callable[[TrainingSession], TrainingSession]
) -> None:
    session = settled(evaluate(browser, model, "dora", "emil"))
    assert session.kind == "evaluate" and len(session.client_ids) == 2
    now = timezone.now()
    for name, value in (("dora", 0.9), ("emil", 0.5)):
        take(name, now)
        measure(name, now, accuracy=value, gap=1.0)
    assert settled(session).status == "completed"
    page = compact(browser.get(reverse("model", args=[model.pk])).content.decode())
    row = re.search(r'<tr data-measure="accuracy">.*?</tr>', page)
    numbers = re.findall(r'class="num" data-label="[\w ]+">([\d.]+)<', row[0]) if row else []
    assert row and numbers == ["0.700", "0.500", "0.900", "0.400"]
    assert "emil" in row[0] and session.name in page
    assert 'id="evaluate-model"' in page


def test_its_copy_of_the_model_is_no_model_of_its_own(
    browser: Browser, model: GlobalModel, settled: Callable[[TrainingSession], TrainingSession]
) -> None:
    session = settled(evaluate(browser, model, "dora"))
    copy = session.models.get()
    assert copy not in finding.found()
    assert copy not in [box.model for box in lineage.of(model).boxes]
    assert browser.get(reverse("model", args=[copy.pk]))["Location"] == reverse("model", args=[model.pk])


def test_of_equal_models_the_one_whose_page_it_is_is_measured(
    browser: Browser, model: GlobalModel, create: Create
) -> None:
    """The same session run again makes the same bytes."""
    again = create(start=True, name="again")
    twin = again.models.get(version=0)
    assert twin.digest == model.session.models.get(version=0).digest
    assert evaluate(browser, twin, "dora").models.get().parent == twin


def test_one_that_found_nothing_hides_none_that_did(
    browser: Browser, model: GlobalModel, settled: Callable[[TrainingSession], TrainingSession]
) -> None:
    good = settled(evaluate(browser, model, "dora"))
    take("dora", timezone.now())
    measure("dora", timezone.now(), accuracy=0.625)
    settled(good)
    vain = settled(evaluate(browser, model, "emil"))
    sessions.cancel(vain, by=None, now=timezone.now())
    page = compact(browser.get(reverse("model_evaluations", args=[model.pk]), headers=HTMX).content.decode())
    shown, others = page.split("Other evaluations", 1)
    assert "0.625" in shown and good.name in shown
    assert "Cancelled" in others


def test_of_a_workload_that_only_sites_have_those_can_that_told_this_kind(enrol: Enrol) -> None:
    now = timezone.now()
    enrol("north", **telling())
    enrol("east", **telling(entry(kinds=["train"])))
    enrol("west", kinds=BOTH)
    session = sessions.create(Spec(name="first", workload=NAME), by=None, now=now)
    models.publish_from_site(session, models.SiteModel("a" * 64, 4, []), now=now)
    assert {site.client.name: site.why for site in sites.of(session.models.get(), now=now)} == {
        "north": "",
        "east": "its agent does not do this kind of work",
        "west": "it did not report this workload",
    }
