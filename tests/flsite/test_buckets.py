"""How many requests a caller may make."""

from hypothesis import given
from hypothesis import strategies as st

from flsite.gate import buckets
from flsite.gate.buckets import Buckets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_goes_through_and_then_as_many_as_the_rate_says():
    clock = Clock()
    tried = Buckets(2, 5, clock=clock)
    assert [tried.take("anna") for _ in range(5)] == [0] * 5
    assert tried.take("anna") == 0.5
    clock.now = 0.5
    assert tried.take("anna") == 0 and tried.take("anna") > 0


def test_callers_do_not_share_a_bucket():
    tried = Buckets(1, 1, clock=Clock())
    assert tried.take("anna") == 0 and tried.take("anna") > 0 and tried.take("ben") == 0


def test_what_is_charged_afterwards_is_owed_within_bounds():
    clock = Clock()
    tried = Buckets(1, 10, clock=clock)
    tried.charge("anna", 1000)
    assert 0 < tried.take("anna") <= 11
    clock.now = 11
    assert tried.take("anna") == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 3)), max_size=200))
def test_no_caller_gets_more_than_the_burst_and_the_rate(calls: list[tuple[int, float]]):
    clock, through = Clock(), dict.fromkeys(range(6), 0)
    tried = Buckets(2, 5, clock=clock)
    for who, passes in calls:
        clock.now += passes
        through[who] += tried.take(who) == 0
    assert all(count <= 5 + 2 * clock.now for count in through.values())


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(buckets, "MOST_CALLERS", 10)
    clock = Clock()
    tried = Buckets(1, 2, clock=clock)
    for number in range(1000):
        clock.now += 0.01
        tried.take(number)
        assert len(tried._left) <= 10
