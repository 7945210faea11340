"""A script's work in a process that follows: it says nothing to the server, which hears of rank 0."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Literal

from clientagent.library.leaving import Leaving
from clientagent.library.models import Model, Only
from clientagent.library.ranks import End, Parted, Ranks
from clientagent.library.seeds import seed
from clientagent.library.sentences import sentence
from clientagent.library.work import Work


class FollowedWork(Work):
    """The same work as rank 0 has."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        return False

    def _arrive(self, fraction: float) -> None:
        pass

    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        pass

    def send(
        self,
        model: Model,
        *,
        num_examples: int,
        metrics: Mapping[str, Any] | None = None,
        is_difference: bool = False,
    ) -> bool:
        sent, self._dropped = self._ranks.follow()
        return bool(sent)

    def give_up(self, reason: str) -> None:
        pass


def works(ranks: Ranks, only: Only, file: str, *, seeded: bool) -> Iterator[Work]:
    """Each piece of training that rank 0 gets, until it leaves. Raises SystemExit where it ends the program.

    file: the script's, whose line is told of an exception. Random numbers begin at another seed for each rank, so that
    not all of them draw the same.
    """
    leaving = Leaving()
    leaving.listen()
    _tell_of_the_end(ranks, file)
    try:
        while not isinstance(came := ranks.receive(), End):
            if seeded:
                seed(int(came.config.get("seed", 0)) + ranks.rank)
            yield FollowedWork(came, only, leaving, ranks)
    except Parted as error:
        print(f"Rank {ranks.rank}: {error}", file=sys.stderr)
        raise SystemExit(error.status) from None
    except KeyboardInterrupt:  # rank 0 was asked to leave, too, or ends because this process does
        return
    finally:
        leaving.stop_listening()
    if came.status is not None:
        raise SystemExit(came.status)


def _tell_of_the_end(ranks: Ranks, file: str) -> None:
    """A process that is not killed tells rank 0 that it ends, and of an exception that nobody caught."""
    hook = sys.excepthook

    def on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ranks.farewell(f"rank {ranks.rank}: {sentence(error, file)}")
        hook(kind, error, trace)

    sys.excepthook = on_uncaught
    atexit.register(ranks.farewell)
