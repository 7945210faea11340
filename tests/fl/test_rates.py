import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import rates
from federation.fl.options import OptionError

ROUNDS = range(1, 13)


def factors(name, **options):
    return [rates.build(name, options).factor(number) for number in ROUNDS]


def test_a_constant_rate_is_whole_from_the_first_round_on():
    assert factors("constant") == [1.0] * 12


def test_a_rate_falls_in_steps():
    assert factors("step", every=5, multiplier=0.1)[4:6] == [1.0, 0.1]
    assert factors("step", every=5, multiplier=0.1)[10] == pytest.approx(0.01)


def test_a_rate_follows_a_cosine_and_stays_above_zero():
    found = factors("cosine", over=10)
    assert found[0] == 1.0 and found[5] == pytest.approx(0.5)
    assert found[9] == pytest.approx((1 + math.cos(0.9 * math.pi)) / 2)
    assert found[10:] == [found[9]] * 2  # a session that was extended


def test_a_warm_up_grows_to_the_whole_rate():
    assert factors("constant", warmup_rounds=3)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors("cosine", over=10, warmup_rounds=4)[4] == 1.0
    assert factors("step", every=2, warmup_rounds=1)[:4] == [0.5, 1.0, 1.0, 0.5]


@given(
    st.sampled_from(
        [("constant", {}), ("step", {"every": 1, "multiplier": 1e-9}), ("cosine", {"over": 1}), ("cosine", {"over": 7})]
    ),
    st.integers(0, 100_000),
    st.integers(1, 200_000),
)
def test_no_rate_is_zero_or_above_the_whole(which, warmup_rounds, number):
    name, options = which
    assert 0 < rates.build(name, options | {"warmup_rounds": warmup_rounds}).factor(number) <= 1


def test_rounds_count_from_one():
    with pytest.raises(ValueError, match="rounds count from 1"):
        rates.build("constant", {}).factor(0)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("linear", {}, "choose one of constant, cosine, step"),
        ("step", {"multiplier": 0}, "above 0"),
        ("cosine", {"over": 0}, "from 1"),
        ("constant", {"every": 3}, "no option 'every'"),
    ],
)
def test_what_is_wrong_is_named(name, options, words):
    with pytest.raises(OptionError, match=words):
        rates.build(name, options)
