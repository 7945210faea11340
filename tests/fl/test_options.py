import pytest

from federation.fl.options import Option, OptionError, check

DECLARED = (
    Option("count", int, 3, 1, 2_000_000),
    Option("rate", float, 0.5, 0, 10, exclusive_minimum=True),
    Option("mode", str, "fast", choices=("fast", "exact")),
    Option("quiet", bool, False),
)


def test_what_is_left_out_gets_its_default():
    assert check({"rate": 2.5}, DECLARED, "workload x") == {"count": 3, "rate": 2.5, "mode": "fast", "quiet": False}


def test_a_whole_number_serves_as_a_number_and_becomes_a_float():
    rate = check({"rate": 2}, DECLARED, "workload x")["rate"]
    assert rate == 2.0 and isinstance(rate, float)


@pytest.mark.parametrize(
    "name, value",
    [
        ("count", 0),
        ("count", 2_000_001),
        ("count", 1.0),
        ("count", True),
        ("count", "1"),
        ("count", None),
        pytest.param("count", 10**5000, id="too long to print"),
        ("rate", 0),
        ("rate", 10.1),
        ("rate", True),
        ("rate", float("nan")),
        ("rate", float("inf")),
        pytest.param("rate", 10**5000, id="no float"),
        ("rate", []),
        ("mode", "slow"),
        ("mode", 1),
        ("quiet", 0),
        ("quiet", "true"),
    ],
)
def test_a_wrong_type_or_range_is_refused_and_names_the_field(name, value):
    with pytest.raises(OptionError, match=f"^{name} of workload x must be ") as refusal:
        check({name: value}, DECLARED, "workload x")
    assert refusal.value.field == name


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"count": -4}, "count of workload x must be a whole number from 1 to 2,000,000, not -4."),
        ({"rate": 0}, "rate of workload x must be a number above 0 up to 10, not 0."),
        ({"mode": "slow"}, "mode of workload x must be one of fast, exact, not 'slow'."),
        ({"speed": 1}, "workload x has no option 'speed': it has count, rate, mode, quiet."),
    ],
)
def test_a_refusal_says_what_is_allowed(given, sentence):
    with pytest.raises(OptionError) as refusal:
        check(given, DECLARED, "workload x")
    assert str(refusal.value) == sentence


def test_an_unknown_option_is_refused_where_there_are_none():
    with pytest.raises(OptionError, match="strategy y has no option 'a': it has none."):
        check({"a": 1}, (), "strategy y")


def test_a_huge_value_is_not_repeated_in_full():
    with pytest.raises(OptionError) as refusal:
        check({"mode": "x" * 10_000}, DECLARED, "workload x")
    assert len(str(refusal.value)) < 200
