"""What is told of a workload: every member bounded, every refusal in words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from federation.fl.measures import Combine, Direction, Measure
from federation.fl.options import Option
from federation.fl.workloads import WORKLOADS, declaration
from federation.fl.workloads.declaration import Declaration, DeclarationError, from_json
from tests.properties import PROPERTY, json_values

ENTRY: dict[str, Any] = {
    "name": "chest-xray",
    "version": "1.2",
    "digest": "a" * 64,
    "title": "Chest X-rays",
    "summary": "One image, fourteen findings.",
    "options": [
        {"name": "size", "kind": "int", "default": 64, "minimum": 8, "maximum": 512, "help": "Pixels a side."},
        {"name": "rate", "kind": "float", "default": 1, "minimum": 0, "exclusive_minimum": True},
        {"name": "network", "kind": "str", "default": "small", "choices": ["small", "large"], "label": "Net"},
        {"name": "frozen", "kind": "bool", "default": False},
    ],
    "measures": [{"name": "auc", "title": "AUC", "direction": "max", "unit": "share", "combine": "mean"}],
    "train_defaults": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
    "num_examples": 1200,
    "kinds": ["train", "evaluate", "initialise"],
}
OPTION: dict[str, Any] = {"name": "size", "kind": "int", "default": 1}


def as_sent(told: Declaration) -> object:
    return json.loads(json.dumps(told.to_json(), allow_nan=False))


def test_an_entry_is_read_and_told_again():
    told = from_json(ENTRY | {"later": {"unknown": 1}})
    assert told.options[0] == Option("size", int, 64, 8, 512, help="Pixels a side.")
    assert told.options[1] == Option("rate", float, 1.0, 0.0, exclusive_minimum=True)
    assert told.options[2].choices == ("small", "large")
    assert told.measures == (Measure("auc", "AUC", Direction.MAX, "share", Combine.MEAN),)
    assert told.kinds == ("train", "evaluate", "initialise")
    assert "later" not in told.to_json() and from_json(as_sent(told)) == told


def test_name_and_digest_are_enough():
    told = from_json({"name": "x", "digest": "0" * 64})
    assert told == Declaration("x", "0" * 64) and from_json(as_sent(told)) == told
    assert told.num_examples is None and told.version == ""


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_what_a_built_in_workload_declares_is_told(workload):
    told = declaration.of(workload, num_examples=5, kinds=("train",))
    assert (told.name, told.digest, told.options) == (workload.name, workload.digest(), workload.options)
    assert told.train_defaults == workload.train_defaults and told.num_examples == 5 and told.kinds == ("train",)
    named = told.to_json() | {"name": "another"}
    assert from_json(named).to_json() == named


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": "Chest X-ray"}, "The third entry: name must be 1 to 64 characters of a-z, 0-9 and -, beginning with "
         "a letter, not 'Chest X-ray'."),
        ({"name": "a_b"}, "The third entry: name must be"),
        ({"name": "a" * 65}, "The third entry: name must be"),
        ({"name": None}, "The third entry: name is missing. It must be 1 to 64"),
        ({"digest": "A" * 64}, "Workload 'chest-xray': digest must be 64 hexadecimal digits in lower case, not 'AAA"),
        ({"digest": None}, "digest is missing. It must be 64 hexadecimal digits in lower case."),
        ({"version": "1" * 65}, "Workload 'chest-xray': version must be at most 64 printable characters, not '1111"),
        ({"version": 1.2}, "version must be at most 64 printable characters, not 1.2."),
        ({"title": "\u202eabc"}, "title must be at most 100 printable characters, not '\\u202eabc'."),
        ({"summary": "a\nb"}, "summary must be at most 500 printable characters, not 'a\\nb'."),
        ({"options": {}}, "options must be a list of at most 50, not {}."),
        ({"options": [OPTION] * 51}, "options must be a list of at most 50, not [{"),
        ({"options": [1]}, "options 1 must be an object, not 1."),
        ({"options": [OPTION, OPTION]}, "options 2: name is 'size', like that of another one."),
        ({"options": [OPTION | {"name": "a b"}]}, "options 1: name must be 1 to 64 letters, digits and _, beginning "
         "with a letter, not 'a b'."),
        ({"options": [OPTION | {"kind": "list"}]}, "options 1: kind must be one of int, float, str, bool, "
         "not 'list'."),
        ({"options": [OPTION | {"default": 1.5}]}, "options 1: default must be a whole number, not 1.5."),
        ({"options": [OPTION | {"default": None}]}, "options 1: default is missing. It must be a whole number."),
        ({"options": [OPTION | {"minimum": 2}]}, "options 1: default must be a whole number from 2, not 1."),
        ({"options": [OPTION | {"minimum": "2"}]}, "options 1: minimum must be a whole number, not '2'."),
        ({"options": [OPTION | {"maximum": 2**60}]}, "options 1: maximum must be a whole number from -2^53 to 2^53"),
        ({"options": [OPTION | {"kind": "str", "default": "a", "minimum": 1}]}, "options 1: minimum is for options of "
         "the kind int or float."),
        ({"options": [OPTION | {"choices": [2, 3]}]}, "options 1: default must be one of 2, 3, not 1."),
        ({"options": [OPTION | {"choices": ["a"]}]}, "options 1: choices must be a whole number, not 'a'."),
        ({"options": [OPTION | {"kind": "float", "default": 1e31}]}, "default must be a number from -1e30 to 1e30"),
        ({"options": [OPTION | {"kind": "str", "default": "a\n"}]}, "default must be at most 500 printable characters"),
        ({"options": [OPTION | {"help": "a" * 501}]}, "options 1: help must be at most 500 printable characters"),
        ({"measures": [{"title": "AUC"}]}, "measures 1: name must be 1 to 64 printable characters."),
        ({"measures": [{"name": "auc", "direction": "up"}]}, "measures 1: direction must be one of max, min, none, "
         "not 'up'."),
        ({"measures": [{"name": "auc", "combine": 1}]}, "measures 1: combine must be one of mean, sum, min, max, none"),
        ({"train_defaults": [1]}, "train_defaults must be an object, not [1]."),
        ({"train_defaults": {"epochs": 0}}, "train_defaults: epochs must be a whole number from 1 to 1,000, not 0."),
        ({"train_defaults": {"learning_rate": 0}}, "train_defaults: learning_rate must be a number above 0 up to"),
        ({"num_examples": -1}, "num_examples must be null or a whole number from 0 to 1000000000000, not -1."),
        ({"num_examples": True}, "num_examples must be null or a whole number"),
        ({"kinds": ["Train"]}, "kinds must be names of kinds of work, not 'Train'."),
        ({"kinds": "train"}, "kinds must be a list of at most 50, not 'train'."),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_with_entry_and_member(changed, sentence):
    with pytest.raises(DeclarationError) as error:
        from_json(ENTRY | changed, "The third entry")
    assert sentence in str(error.value)
    assert next(iter(changed)) in error.value.member and error.value.why


@pytest.mark.parametrize("given_", [None, [], "digits", 3])
def test_an_entry_is_an_object(given_):
    with pytest.raises(DeclarationError, match="^An entry of the catalogue must be an object, not "):
        from_json(given_)


def test_options_of_another_type_are_named():
    class Foreign:
        name, title, summary, version, train_defaults = "mine", "", "", "", {}
        options = ({"name": "size"},)

        def digest(self) -> str:
            return "a" * 64

    with pytest.raises(DeclarationError, match=r"options must be a tuple of objects of the type Option\."):
        declaration.of(Foreign())  # type: ignore[arg-type]


def read_or_refused(entry: object) -> None:
    try:
        told = from_json(entry)
    except DeclarationError as error:
        assert str(error).endswith(".") and str(error).isprintable() and len(str(error)) < 1000
    else:
        assert from_json(as_sent(told)) == told


@PROPERTY
@given(json_values())
def test_any_json_is_read_or_refused_in_words(entry):
    read_or_refused(entry)


@PROPERTY
@given(draw.fixed_dictionaries({}, optional={name: draw.just(value) | json_values() for name, value in ENTRY.items()}))
def test_any_member_is_read_or_refused_in_words(entry):
    read_or_refused({"name": "mine", "digest": "b" * 64} | entry)


@PROPERTY
@given(
    draw.fixed_dictionaries(
        {"name": draw.just("size"), "kind": draw.sampled_from(["int", "float", "str", "bool"])},
        optional={name: json_values(2) for name in ("default", "minimum", "maximum", "choices", "help", "label")},
    )
)
def test_any_option_is_read_or_refused_in_words(option):
    read_or_refused({"name": "mine", "digest": "b" * 64, "options": [option]})
