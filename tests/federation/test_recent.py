from hypothesis import given
from hypothesis import strategies as st

from federation.recent import Batch, Recent


def batch(first: int, last: int, size: int = 10) -> Batch:
    return Batch(first, last, "x" * size)


def test_a_batch_is_found_by_the_event_before_it():
    recent = Recent(100)
    recent.keep(7, batch(4, 6))
    assert recent.after(7, 3) == batch(4, 6)
    assert recent.after(7, 4) is recent.after(7, 6) is recent.after(8, 3) is None
    recent.clear()
    assert recent.after(7, 3) is None


def test_of_two_that_begin_together_the_longer_one_stays():
    recent = Recent(100)
    for one in (batch(1, 2), batch(1, 5, 30), batch(1, 3)):
        recent.keep(7, one)
    assert recent.after(7, 0) == batch(1, 5, 30)


def test_the_oldest_go_first_and_one_that_is_too_large_is_not_kept():
    recent = Recent(30)
    for first in (1, 2, 3, 4):
        recent.keep(7, batch(first, first))
    assert [recent.after(7, seen) is not None for seen in range(4)] == [False, True, True, True]
    recent.keep(7, batch(5, 5, 31))
    assert recent.after(7, 4) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 9), st.integers(1, 40)), max_size=60))
def test_what_is_kept_is_bounded_and_true(kept):
    recent, given_ = Recent(100), list[tuple[int, Batch]]()
    for log_id, first, more, size in kept:
        given_.append((log_id, batch(first, first + more, size)))
        recent.keep(*given_[-1])
        assert recent._num_bytes == sum(len(one.text) for one in recent._batches.values()) <= 100
    for log_id in (1, 2, 3):
        for seen in range(9):
            found = recent.after(log_id, seen)
            assert found is None or (log_id, found) in given_ and found.first == seen + 1
