"""A setting is declared once. What is derived agrees with the declarations, whatever they are."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, strategies

from federation.api.schemas import NewSession, SessionOut
from federation.api.schemas import settings as derived
from federation.fl.options import Option
from federation.models import TrainingSession
from federation.services import sessions
from federation.session_settings import SETTINGS, TRAIN, Group, Spec, kind_of
from federation.setting_kinds import Named, Seconds, Together, Whole, limits
from tests.federation.conftest import SPEC


def test_every_field_of_a_specification_is_declared():
    columns = {name for option in SETTINGS.values() for name in kind_of(option).columns(option.name)}
    assert {field.name for field in fields(Spec)} == columns | {"start_from"}


def test_every_setting_has_a_column_of_its_name():
    known = {field.name for field in TrainingSession._meta.get_fields()}
    for option in SETTINGS.values():
        assert {option.name, *kind_of(option).columns(option.name)} <= known, option.name


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_says_what_a_form_needs(name):
    option = SETTINGS[name]
    assert option.label and option.help.endswith(".")
    assert option.group in set(Group)


def options_of_all() -> list[Option]:
    found = list(TRAIN)
    for option in SETTINGS.values():
        if isinstance(option.kind, Named):
            found += [one for chosen in option.kind.known.values() for one in chosen.options]
        if isinstance(option.kind, Together):
            found += option.kind.options
    return found


def test_every_option_of_a_workload_a_strategy_and_an_encoding_is_explained():
    assert [option.name for option in options_of_all() if not option.help] == []


def test_labels_are_unique():
    labels = [option.label for option in SETTINGS.values()]
    assert len(labels) == len(set(labels))


@pytest.mark.django_db
def test_a_session_is_described_by_the_specification_that_made_it(alice, now):
    spec = sessions.check(replace(SPEC, client_tags=("gpu",), cohort_size=4, compression="topk", defences=("norms",)))
    assert sessions.spec_of(sessions.create(spec, by=alice, now=now)) == spec


@pytest.mark.django_db
def test_everything_that_is_wrong_with_options_is_told_at_once():
    train = {"epochs": 0, "batch_size": 0, "momentum": 1}
    found = sessions.problems(replace(SPEC, train=train))
    assert [one.field for one in found] == ["train.momentum", "train.epochs", "train.batch_size"]


@pytest.mark.django_db
def test_a_refusal_can_be_told_with_the_label_of_the_form():
    (problem,) = sessions.problems(replace(SPEC, rounds=0))
    assert problem.sentence == "rounds is 0: choose 1 to 100000."
    assert problem.worded(SETTINGS["rounds"].label) == "Rounds is 0: choose 1 to 100000."
    (problem,) = sessions.problems(replace(SPEC, name=""))
    assert problem.worded("Name") == problem.sentence


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name, option in SETTINGS.items() if isinstance(option.kind, Whole)])
@given(data=strategies.data())
def test_a_number_is_refused_exactly_beyond_its_limits(name, data):
    low, high = limits(SETTINGS[name])
    value = data.draw(strategies.integers(low - 3, low + 3) | strategies.integers(high - 3, high + 3))
    found = {one.field for one in kind_of(SETTINGS[name]).check(SETTINGS[name], replace(SPEC, **{name: value}))}
    assert (name in found) is not (low <= value <= high)


@pytest.mark.django_db
def test_a_model_of_another_workload_is_refused_for_that(running, alice, now):
    first = running()
    other = replace(SPEC, workload="digits", workload_options={}, start_from=(first.pk, 0))
    (problem,) = sessions.problems(other)
    assert problem.sentence == "That model belongs to the workload synthetic, not to digits."


# ---- settings that depend on another one


@pytest.mark.django_db
def test_a_setting_without_effect_is_neither_checked_nor_kept():
    made = sessions.check(replace(SPEC, schedule="over_selected", quorum=5, cohort_size=2))
    assert made.cohort_size is None
    assert sessions.check(replace(SPEC, schedule="over_selected", cohort_size=-1)).cohort_size is None
    assert sessions.check(replace(SPEC, schedule="buffered", late_policy="next_round")).late_policy == "drop"
    (problem,) = sessions.problems(replace(SPEC, schedule="buffered", quorum=5, cohort_size=2))
    assert problem.field == "quorum"


@pytest.mark.django_db
def test_a_session_that_kept_such_a_setting_can_be_run_again(running, alice, now):
    session = running(schedule="over_selected", quorum=2)
    TrainingSession.objects.filter(pk=session.pk).update(cohort_size=3)
    session.refresh_from_db()
    again = sessions.again(session, by=alice, now=now)
    assert (again.schedule, again.cohort_size) == ("over_selected", None)


# ---- the API


def test_what_the_api_takes_and_shows_is_what_is_declared():
    parts = {option.kind.auto for option in SETTINGS.values() if isinstance(option.kind, Seconds)}
    assert NewSession.model_fields.keys() == (SETTINGS.keys() - parts) | {"start", "kind", "initial_model"}
    assert SETTINGS.keys() - {"start_from"} <= SessionOut.model_fields.keys()


def test_a_request_that_names_nothing_gets_the_declared_defaults():
    body = NewSession.model_validate({"name": "first", "workload": {"name": "synthetic"}})
    plain = Spec(name="first", workload="synthetic")
    given_ = derived.spec_of(body)
    assert {f.name: list_of(getattr(given_, f.name)) for f in fields(Spec)} == {
        f.name: list_of(getattr(plain, f.name)) for f in fields(Spec)
    }


def list_of(value):
    return list(value) if isinstance(value, tuple) else value
