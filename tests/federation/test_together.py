"""Done together or alone, each gets its own answer or its own error."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.together import MOST, Together


class Slow:
    """Doubles numbers. Waits until it may begin, and notes what it was asked for at once."""

    def __init__(self) -> None:
        self.is_asked, self.may_begin = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: list[int]) -> list[int]:
        self.is_asked.set()
        self.may_begin.wait(10)
        self.batches.append(list(items))
        if any(item < 0 for item in items):
            raise ValueError(f"{items} has a number below zero")
        return [2 * item for item in items]


def ask(together: Together[int, int], numbers: list[int], do: Slow) -> dict[int, list[int | str]]:
    """What threads of their own get for these numbers, where the first one is under way as the others come."""
    found: dict[int, list[int | str]] = {number: [] for number in numbers}

    def one(number: int) -> None:
        try:
            found[number].append(together(number))
        except ValueError as error:
            found[number].append(str(error))

    threads = [threading.Thread(target=one, args=(number,)) for number in numbers]
    for place, thread in enumerate(threads, start=1):
        thread.start()
        do.is_asked.wait(10)
        while len(together._waiting) + 1 < place:
            time.sleep(0.001)
    do.may_begin.set()
    for thread in threads:
        thread.join(10)
    return found


def test_who_comes_alone_is_answered_alone():
    do = Slow()
    do.may_begin.set()
    together = Together(do, key=lambda item: item)
    assert [together(3), together(4)] == [6, 8]
    assert do.batches == [[3], [4]]


def test_who_comes_meanwhile_is_done_at_once():
    do = Slow()
    assert ask(Together(do, key=lambda item: item), [1, 2, 3, 4], do) == {1: [2], 2: [4], 3: [6], 4: [8]}
    assert do.batches == [[1], [2, 3, 4]]


def test_an_error_concerns_only_whose_it_is():
    do = Slow()
    found = ask(Together(do, key=lambda item: item), [1, 2, -3, 4], do)
    assert found == {1: [2], 2: [4], -3: ["[-3] has a number below zero"], 4: [8]}
    assert do.batches == [[1], [2, -3, 4], [2], [-3], [4]]


def test_two_with_one_key_are_not_done_at_once():
    do = Slow()
    found = ask(Together(do, key=lambda item: item % 2), [10, 1, 2, 3], do)
    assert found == {10: [20], 1: [2], 2: [4], 3: [6]}
    assert do.batches == [[10], [1, 2], [3]]


def test_an_error_of_one_alone_is_raised():
    do = Slow()
    do.may_begin.set()
    with pytest.raises(ValueError, match="below zero"):
        Together(do, key=lambda item: item)(-1)


@given(st.lists(st.integers(-3, 60), unique=True, min_size=1, max_size=12))
def test_everyone_gets_the_answer_to_what_it_asked(numbers: list[int]):
    do = Slow()
    found = ask(Together(do, key=lambda item: item % 5), numbers, do)
    assert found == {n: [2 * n if n >= 0 else f"[{n}] has a number below zero"] for n in numbers}
    assert all(len(batch) <= MOST and len({n % 5 for n in batch}) == len(batch) for batch in do.batches)
