"""Several at once, results in order."""

import threading

import pytest

from federation.fl import parallel


def test_results_come_in_the_order_of_the_items_whoever_is_done_first():
    last_began = threading.Event()

    def work(item):
        if item == 0:
            last_began.wait(10)
        if item == 3:
            last_began.set()
        return item * item

    assert list(parallel.in_order(work, range(4), 2)) == [0, 1, 4, 9]


def test_items_are_taken_as_results_are():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = parallel.in_order(lambda item: item, items(), 2)
    for _ in range(3):
        next(results)
    assert len(taken) <= 3 + 2 + parallel.AHEAD
    results.close()


def test_an_error_comes_in_the_place_of_its_result_and_ends_the_work():
    begun = []

    def work(item):
        begun.append(item)
        return 1 // (2 - item)

    results = parallel.in_order(work, range(1000), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(begun) < 20
    assert not any(thread.name.startswith("fl") for thread in threading.enumerate())


def test_there_is_at_least_one_thread_and_never_a_crowd():
    assert 1 <= parallel.threads() <= parallel.MAX_THREADS
