"""What many threads of a process ask for at the same time is done at once, by one of them for all.

Nobody waits for company. The first one begins at once, and those who come meanwhile are the next ones' company.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
MOST = 64  # at once


class _Place(Generic[Item, Answer]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.answers: list[Answer] = []  # one, when it is done
        self.error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return bool(self.answers) or self.error is not None


class Together(Generic[Item, Answer]):
    """`Together(do, key)(item)` is `do([item])[0]`, or the same place of `do` for this item and others.

    do: answers each of several items, in their order. If it raises, nothing is done: each of them is tried again alone,
    so that an error concerns only whose it is. key: items with the same key are not done at once; without it, all are.
    """

    def __init__(
        self, do: Callable[[Sequence[Item]], Sequence[Answer]], key: Callable[[Item], Hashable] | None = None
    ) -> None:
        self._do, self._key = do, key
        self._waiting: deque[_Place[Item, Answer]] = deque()
        self._turn = Lock()

    def __call__(self, item: Item) -> Answer:
        place = _Place[Item, Answer](item)
        self._waiting.append(place)
        with self._turn:
            while not place.is_done:
                self._work()
        if place.error is not None:
            raise place.error
        return place.answers[0]

    def _work(self) -> None:
        batch = self._next()
        try:
            answers = self._do([place.item for place in batch])
        except BaseException as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for place in batch:
                self._work_alone(place)
            return
        for place, answer in zip(batch, answers, strict=True):
            place.answers.append(answer)

    def _work_alone(self, place: _Place[Item, Answer]) -> None:
        try:
            place.answers.extend(self._do([place.item]))
        except BaseException as error:
            place.error = error

    def _next(self) -> list[_Place[Item, Answer]]:
        """Those who came first, up to one whose key is among them already."""
        batch: list[_Place[Item, Answer]] = []
        keys: set[Hashable] = set()
        while self._waiting and len(batch) < MOST:
            if self._key is not None:
                key = self._key(self._waiting[0].item)
                if key in keys:
                    break
                keys.add(key)
            batch.append(self._waiting.popleft())
        return batch
