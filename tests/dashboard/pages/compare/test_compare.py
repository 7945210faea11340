"""Several sessions beside each other."""

from __future__ import annotations

from django.http import QueryDict
from django.test import Client as Browser
from django.urls import reverse

from dashboard.kit import session_settings
from dashboard.kit.parameters import Parameters
from dashboard.pages.compare import comparison
from federation.lifecycle import Outcome
from federation.models import GlobalModel, TrainingSession
from tests.dashboard.cast import Create


def test_an_address_names_sessions_each_once_and_says_what_is_gone(trained: TrainingSession) -> None:
    asked = Parameters(QueryDict(f"s={trained.pk}&s={trained.pk}&s=999&s=x&s={'9' * 30}"))
    found, gone = comparison.chosen(asked.wholes("s"))
    assert (found, gone) == ([trained], 1)


def test_curves_have_an_x_on_every_axis(trained: TrainingSession) -> None:
    (series,) = comparison.overlay(comparison.lines([trained]))["series"]
    assert series["x"]["round"] == [0, 1, 2]
    assert series["x"]["bytes"][0] == 0 and series["x"]["bytes"] == sorted(series["x"]["bytes"])
    assert series["y"]["accuracy, by the clients"] == [0.5, 0.75, None]


def test_completed_rounds_are_those_that_made_a_model(trained: TrainingSession, create: Create) -> None:
    made = trained.round_set.filter(outcome=Outcome.MODEL).count()
    GlobalModel.objects.create(session=create(name="other"), version=7, digest="a" * 64, num_bytes=1)
    lines = comparison.lines(list(TrainingSession.objects.order_by("pk")))
    assert [line.completed for line in lines] == [made, 0]


def test_settings_that_differ_are_marked(trained: TrainingSession, create: Create, browser: Browser) -> None:
    other = create(name="other", seed=9)
    differing = {row.name for row in session_settings.side_by_side([trained, other]) if row.differs}
    assert differing == {"Seed"}
    page = browser.get(reverse("compare"), {"s": [trained.pk, other.pk, 999]}).content.decode()
    assert "1 session of this address is not there any more" in page and page.count('class="differs"') == 1


def test_without_a_choice_it_says_how_to_choose(browser: Browser) -> None:
    assert "Nothing is chosen yet" in browser.get(reverse("compare")).content.decode()


def test_a_hostile_name_stays_text(trained: TrainingSession, browser: Browser) -> None:
    TrainingSession.objects.update(name="</script><img src=x onerror=alert(1)>")
    page = browser.get(reverse("compare"), {"s": trained.pk}).content.decode()
    assert "<img" not in page
