"""What a form asks, what a card tells and what a comparison sets side by side are the declared settings."""

from __future__ import annotations

import html
import re
from dataclasses import replace

from django.test import Client as Browser
from django.urls import reverse

from dashboard.kit import session_settings
from dashboard.pages.new_session.forms import NewSessionForm
from dashboard.pages.new_session.initial import initial_of
from dashboard.pages.new_session.inputs import INPUTS
from federation.fl.options import Option
from federation.models import TrainingSession
from federation.services import sessions
from federation.session_settings import SETTINGS, TRAIN, Group
from federation.setting_kinds import Together
from tests.dashboard.cast import Create
from tests.dashboard.pages.new_session.test_new_session import TYPED

STOP = {"patience": 3, "min_delta": 0.0, "target": None, "measured_by": "clients"}


def test_every_setting_is_in_the_form_under_its_group(browser: Browser) -> None:
    page = html.unescape(browser.get(reverse("session_new")).content.decode())
    for option in SETTINGS.values():
        for name in INPUTS[option.name].fields():
            assert f'name="{name}"' in page, name
    headings = re.findall(r'<legend class="sr">(.*?)</legend>', page)
    assert headings == list(Group)


def test_labels_agree_between_form_and_card(browser: Browser, create: Create) -> None:
    session = create(main_measure="accuracy", early_stop=STOP)
    page = html.unescape(browser.get(reverse("session_settings", args=[session.pk])).content.decode())
    told = {line.name: line.label for line in session_settings.of(session)}
    form = NewSessionForm()
    for option in SETTINGS.values():
        for name in (option.name, *(one.name for one in _members(option))):
            if name in told:
                (field,) = [path for path in form.fields if path in (name, f"{option.name}.{name}")] or [""]
                assert not field or form.fields[field].label == told[name]
                assert f"<dt>{told[name]}</dt>" in page


def _members(option: Option) -> tuple[Option, ...]:
    return option.kind.options if isinstance(option.kind, Together) else ()


def test_only_settings_that_fit_are_told(create: Create) -> None:
    session = create()
    names = [line.name for line in session_settings.of(session)]
    assert "late_policy" in names and {one.name for one in TRAIN} <= set(names)
    session.schedule = "buffered"
    assert "late_policy" not in [line.name for line in session_settings.of(session)]
    assert "cohort_size" in [line.name for line in session_settings.of(session)]
    session.schedule = "over_selected"
    assert "cohort_size" not in [line.name for line in session_settings.of(session)]


def test_of_an_evaluation_only_what_holds_is_told(create: Create) -> None:
    session = create(main_measure="accuracy")
    session.kind = "evaluate"
    names = [line.name for line in session_settings.of(session)]
    assert names == ["workload", "num_parameters", "quorum", "round_seconds", "main_measure"]


def test_a_field_that_does_not_fit_the_schedule_is_named_to_the_page(db: None) -> None:
    shown = NewSessionForm().shown_with["late_policy"]
    assert shown == {"field": "schedule", "values": ["synchronous", "over_selected"]}


def test_a_schedule_with_its_option_is_launched_from_the_form(browser: Browser) -> None:
    change = {"schedule": "over_selected", "schedule.over_selected.extra": "0.5", "early_stop.patience": "3"}
    browser.post(reverse("session_new"), TYPED | change | {"main_measure": "loss", "draft": "1"})
    session = TrainingSession.objects.get()
    assert (session.schedule, session.schedule_options) == ("over_selected", {"extra": 0.5})
    assert (session.main_measure, session.early_stop) == ("loss", STOP)


def test_what_stands_in_a_hidden_field_does_not_matter(browser: Browser) -> None:
    typed = TYPED | {"schedule": "over_selected", "cohort_size": "many", "quorum": "8", "draft": "1"}
    browser.post(reverse("session_new"), typed)
    session = TrainingSession.objects.get()
    assert (session.cohort_size, session.quorum) == (None, 8)
    errors = browser.post(reverse("session_check"), TYPED | {"cohort_size": "many"}).json()["errors"]
    assert errors == {"cohort_size": "'many' is not a whole number."}


def test_the_form_begins_with_what_a_session_was(create: Create) -> None:
    spec = replace(sessions.spec_of(create(main_measure="accuracy", early_stop=STOP)), name="again")
    typed = {name: "" if value is None else value for name, value in initial_of(spec).items()}
    form = NewSessionForm(typed)
    assert form.is_valid(), form.errors
    assert form.spec == spec
