"""What protects a session against a bad update: on the form, the settings, a comparison, and beside the client."""

import re

import pytest
from hypothesis import given

from dashboard.kit import protection, session_settings
from dashboard.pages.models import ingredients
from federation.fl.defences import Defence
from federation.models import Client, Participation, TrainingSession
from federation.session_settings import DEFENCES, SETTINGS
from tests.dashboard.cast import finish_round, report
from tests.dashboard.markup import compact
from tests.dashboard.pages.new_session.test_new_session import TYPED
from tests.properties import PROPERTY, json_values

pytestmark = pytest.mark.django_db
URL = "/sessions/new/"


def switched_on(page):
    boxes = re.findall(r'<input type="checkbox" name="defences" value="(\w+)"[^>]*?( checked)?>', compact(page))
    return [name for name, checked in boxes if checked]


def test_a_new_session_has_every_switch_on(browser):
    page = browser.get(URL).content.decode()
    assert switched_on(page) == ["examples", "norms", "finite"]
    for one in DEFENCES.values():
        assert one.title in page and one.help in page


@pytest.mark.parametrize(
    ("typed", "kept"), [(["", "norms"], ["norms"]), ([""], []), (["", *Defence], ["examples", "norms", "finite"])]
)
def test_what_is_switched_off_is_off(browser, typed, kept):
    answer = browser.post(URL, TYPED | {"defences": typed, "draft": "1"})
    assert answer.status_code == 302
    session = TrainingSession.objects.get()
    assert session.defences == kept
    assert switched_on(browser.get(f"{URL}?from={session.pk}").content.decode()) == kept


def test_a_switch_that_is_not_there_is_refused(browser):
    page = browser.post(URL, TYPED | {"defences": ["", "hope"]}).content.decode()
    assert "hope is not one of the available choices" in page
    assert not TrainingSession.objects.exists()


def test_settings_and_comparison_tell_it(browser, create):
    one, other = create(), create(name="other")
    TrainingSession.objects.filter(pk=other.pk).update(defences=[])
    assert "examples capped, norms clipped, model kept finite" in browser.get(f"/sessions/{one.pk}/").content.decode()
    page = browser.get(f"/compare/?s={one.pk}&s={other.pk}").content.decode()
    assert "Protection" in page


def test_shares_are_of_the_examples_that_count(running):
    finish_round(running, "anna", "ben", "carl")
    model = running.models.get(version=1)
    Participation.objects.filter(round=model.round).update(num_examples=100)
    Participation.objects.filter(round=model.round, client__name="carl").update(
        num_examples=10**12, counted_examples=200
    )
    assert [one.share for one in ingredients.of(model)] == [0.25, 0.25, 0.5]


def test_a_flag_stands_beside_its_client(browser, running):
    Client.objects.filter(name="anna").update(num_examples=1)
    seat = running.active_round().seats.get(client__name="anna")
    report(running, "anna")
    told = "It claims 50 examples and counts for 1."
    assert told in browser.get(f"/sessions/{running.pk}/").content.decode()
    assert told in browser.get(f"/clients/{seat.client_id}/").content.decode()


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ({"code": "examples_capped", "claimed": 10**12, "counted": 100}, "It claims"),
        ({"code": "norm_clipped", "norm": 3e6, "median": 1.0, "limit": 100.0}, "Its norm of 3e+06 was clipped to 100."),
        (
            {"code": "metrics_unusable", "names": ["loss"]},
            "Measures left out, because their numbers are too large: loss.",
        ),
        ({"code": "left_out", "round": 3}, "It was left out of round 3."),
        ({"code": "of a later version"}, ""),
    ],
)
def test_a_flag_is_a_sentence(flag, sentence):
    assert protection.of_flags([flag]).startswith(sentence)
    assert bool(protection.of_flags([flag])) == bool(sentence)


def test_a_reason_that_tells_of_being_left_out_of_its_round_is_not_told_twice():
    found = [{"code": "left_out", "round": 3}, {"code": "metrics_unusable", "names": ["loss"]}]
    assert protection.beside_reason(found, 3) == "Measures left out, because their numbers are too large: loss."
    assert protection.beside_reason(found, 2) == protection.of_flags(found)  # it was late, and left out of a later one


@PROPERTY
@given(json_values())
def test_whatever_stands_in_the_database_is_told_or_passed_over(odd):
    session_settings.listed(SETTINGS["defences"].kind, odd)
    protection.of_flags(odd)
    protection.beside_reason(odd, 1)
    for code in ("examples_capped", "norm_clipped", "metrics_unusable", "left_out"):
        one = {name: odd for name in ("claimed", "counted", "norm", "limit", "names", "round")}
        protection.of_flags([one | {"code": code}])
