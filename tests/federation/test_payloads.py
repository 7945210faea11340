import json
import math

import pytest
from hypothesis import given

from federation.fl.numbers import LARGEST, bounded
from federation.models import Event, ServerEvent
from federation.payloads import printable, storable, storable_text
from tests.properties import PROPERTY, json_values, scalars


def test_a_payload_that_every_database_takes_is_left_as_it_is():
    payload = {"client": {"id": "1", "name": "Zürich 💡"}, "points": [{"value": 1e300}, {"value": None}], "n": 2**53}
    assert storable(payload) is payload


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        (-(10**19), None),
        ("a\0b", "a?b"),
        ("\ud800", "?"),
        ({1: {"\0": [math.nan]}}, {"1": {"?": [None]}}),
        ((1, 2), [1, 2]),
        (b"x", "b'x'"),
    ],
)
def test_what_a_database_would_refuse_is_changed(odd, kept):
    made = storable({"it": odd, "rest": "as it was"})
    assert json.loads(json.dumps(made)) == {"it": kept, "rest": "as it was"}


def test_an_integer_too_long_to_be_written_is_left_out():
    assert storable({"it": 10**5000}) == {"it": None}


def test_nesting_without_end_is_cut_off():
    endless: list = []
    endless.append(endless)
    json.dumps(storable({"it": endless}))


@PROPERTY
@given(json_values())
@pytest.mark.django_db
def test_whatever_is_logged_is_stored_and_read_again(payload):
    from django.db import transaction

    from federation import events

    with transaction.atomic():
        events.record_server(ServerEvent.Kind.CLIENT_CHANGED, told=payload)
    found = ServerEvent.objects.latest("seq").payload
    json.dumps(found, allow_nan=False)
    assert found.keys() == {"told"}


@PROPERTY
@given(json_values())
def test_as_text_it_is_the_same(payload):
    assert json.loads(storable_text(payload)) == json.loads(json.dumps(storable(payload)))


@PROPERTY
@given(scalars)
def test_a_bounded_number_is_finite_or_nothing(value):
    number = bounded(value)
    assert number is None or (math.isfinite(number) and abs(number) <= LARGEST and number == float(value))


@pytest.mark.parametrize("value", [True, "1", None, [], math.nan, math.inf, 1.1e30, -1e308, 10**400])
def test_what_is_no_usable_number_is_none(value):
    assert bounded(value) is None


def test_a_text_is_made_printable_and_short():
    assert printable("a\nb\t\0c", 10) == "a b ?c"
    assert printable("x" * 20, 10) == "x" * 9 + "…"


def test_a_sessions_event_is_stored_whatever_it_tells(open_round):
    from django.db import transaction

    from federation import events

    round_ = open_round("anna")
    with transaction.atomic():
        events.record(round_.session_id, Event.Kind.MODEL_EVALUATED, metrics={"loss": math.inf, "a\0": 1})
    assert Event.objects.latest("seq").payload == {"metrics": {"loss": None, "a?": 1}}
