"""Text from outside: plain digits are numbers, printable lines are labels, anything else is None."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import parsing
from tests.properties import PROPERTY


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), (str(2**63 - 1), 2**63 - 1)])
def test_plain_digits_are_a_whole_number(text, number):
    assert parsing.whole(text) == number


@pytest.mark.parametrize(
    "text", ["", "²", "١", "१", "+1", "-1", " 1", "1 ", "1_0", "1.0", "1e3", "0x1", "9" * 19, "9" * 5000]
)
def test_anything_else_is_no_whole_number(text):
    assert parsing.whole(text) is None


def test_a_whole_number_may_have_a_range():
    assert parsing.whole("5", least=5, most=5) == 5
    assert parsing.whole("4", least=5) is None and parsing.whole("6", most=5) is None


@pytest.mark.parametrize(("text", "number"), [("0.5", 0.5), ("-3", -3.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0)])
def test_a_number_as_json_writes_it_is_one(text, number):
    assert parsing.decimal(text) == number


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "-Infinity", "1e400", "1e99999", "1_0", "١", " 1", "0x1p3", "1" * 5000]
)
def test_what_is_not_finite_or_not_plain_is_no_number(text):
    assert parsing.decimal(text) is None


@PROPERTY
@given(st.text())
def test_numbers_from_any_text_are_in_range(text):
    number, value = parsing.whole(text), parsing.decimal(text)
    assert number is None or 0 <= number <= parsing.LARGEST
    assert value is None or math.isfinite(value)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x00b", "\ud800", "a\u202eb", "a\u200bb", "a\u2066b", "x" * 11])
def test_what_is_not_one_printable_line_is_no_label(text):
    assert parsing.label(text, longest=10) is None


def test_a_label_is_normalised_and_stripped():
    assert parsing.label(" cafe\u0301 ", longest=4) == "caf\u00e9"


@PROPERTY
@given(st.text(max_size=30))
def test_a_label_is_printable_normal_and_stays_itself(text):
    found = parsing.label(text, longest=20)
    if found is not None:
        assert found.isprintable() and 1 <= len(found) <= 20 and unicodedata.is_normalized("NFC", found)
        assert parsing.label(found, longest=20) == found


@PROPERTY
@given(st.text())
def test_a_shown_text_has_as_many_characters_and_none_that_is_invisible(text):
    found = parsing.shown(text)
    assert len(found) == len(text)
    assert all(sign.isprintable() or sign in "\n\t" for sign in found)
