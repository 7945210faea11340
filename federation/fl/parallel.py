"""Work on several cores at once, with the results in the order of the work."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 4  # each has its own buffers; with more, one thread that writes and hashes could not keep up
AHEAD = 2  # results that wait to be taken, beside one a thread in the making


def threads() -> int:
    """How many are worth starting on the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_THREADS, cores)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], num_threads: int) -> Iterator[Result]:
    """function(item) of each item, in their order, though several are in the making at once.

    For functions that spend their time outside of the interpreter's lock, as numpy and reads do.
    Items are taken as they are needed; of results at most num_threads + AHEAD are held. An
    exception of the function is raised where its result would have come, and ends the work.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="fl") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= num_threads + AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
