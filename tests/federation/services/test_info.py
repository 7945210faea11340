"""What an agent says of itself: each member in its range, the rest left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent import device
from federation.services import info
from federation.services.info import Info
from tests.properties import PROPERTY, json_values

OF_0_1_0 = {
    "version": "0.1.0",
    "device": "cuda",
    "platform": "Linux 6.1.0 x86_64",
    "python": "3.11.9",
    "cores": 16,
    "memory": 135_000_000_000,
    "gpu": "NVIDIA A40, 46068 MiB",
    "num_examples": 100,
    "label_histogram": {"0": 60, "1": 40},
    "data_fingerprint": "0123456789abcdef",
    "workloads": {"digits": "a" * 64, "synthetic": "b" * 64},
}


def test_everything_that_an_agent_of_0_1_0_says_is_kept_as_it_is():
    found, wrong = info.checked(OF_0_1_0)
    assert (info.kept(found), wrong) == (OF_0_1_0, [])


def test_everything_that_our_agent_says_of_its_machine_is_kept():
    said = device.describe("cpu")
    assert info.kept(info.of(said)) == said


def test_a_member_that_is_not_known_is_dropped_without_a_word():
    found, wrong = info.checked({"mood": "fine", "cores": 4})
    assert (info.kept(found), wrong) == ({"cores": 4}, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory": 10**400},
        {"memory": -1},
        {"memory": 1e9},
        {"memory": "16 GiB"},
        {"cores": True},
        {"cores": 0},
        {"cores": 2**31},
        {"num_examples": 10**12 + 1},
        {"num_examples": -1},
        {"num_examples": 0.5},
        {"gpu": "x" * 201},
        {"gpu": "a\u202eb"},
        {"gpu": ["a"]},
        {"device": "cpu\n"[:4] + "\x00"},
        {"version": ""},
        {"platform": {"a": 1}},
        {"label_histogram": [1, 2]},
        {"label_histogram": {str(n): 1 for n in range(info.MOST_LABELS + 1)}},
        {"data_fingerprint": "ab cd"},
        {"data_fingerprint": "a" * 129},
        {"workloads": ["digits"]},
        {"workloads": {str(n): "a" for n in range(info.MOST_WORKLOADS + 1)}},
    ],
)
def test_a_member_that_cannot_be_is_left_out_and_named_and_the_others_stay(wrong):
    found, names = info.checked(OF_0_1_0 | wrong)
    assert names == list(wrong)
    assert info.kept(found) == {name: value for name, value in OF_0_1_0.items() if name not in wrong}


def test_of_a_histogram_what_is_no_count_by_label_is_left_out():
    said = {"0": 60, "1": -1, "2": True, "3": 10**13, "4": "5", "": 1, "\u202e": 2, "x" * 50: 3}
    assert info.of({"label_histogram": said}).label_histogram == {"0": 60, "x" * 40: 3}


def test_of_workloads_what_is_no_digest_is_left_out():
    assert info.of({"workloads": {"digits": "d1", "other": 5, "\x00": "a"}}).workloads == {"digits": "d1"}


@pytest.mark.parametrize("given", [None, [], "text", 5, float("nan"), {1: 2}])
def test_what_is_no_object_says_nothing(given):
    assert info.of(given) == Info()


@PROPERTY
@given(st.dictionaries(st.sampled_from([*Info.model_fields, "other"]), json_values()) | json_values())
def test_whatever_was_said_something_finite_and_small_is_understood(said):
    found = info.of(said)
    kept = info.kept(found)
    assert info.kept(info.of(kept)) == kept  # what was kept once is understood again
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
