"""What a script is handed out, of whatever kind: its model, and the seat that is held for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from clientagent.by_update import LastUpdate
from clientagent.kinds.kind import Desk
from clientagent.library.leaving import Leaving
from clientagent.library.memory import Memory
from clientagent.library.models import Only
from clientagent.library.ranks import FAREWELL_SECONDS, Came, Ranks
from clientagent.library.sentences import sentence
from clientagent.library.standing import Standing
from clientagent.membership import Membership
from clientagent.progress import Progress


@dataclass(frozen=True, slots=True)
class Place:
    """Where a script's work is done. last: the last update of this client that counted in the session."""

    membership: Membership
    desk: Desk
    memory: Memory
    leaving: Leaving
    only: Only
    ranks: Ranks
    progress: Progress
    last: LastUpdate | None


class Handed:
    """A model that a script works on, in whichever process.

    session, session_id: whose model it is. round: its number among those of its kind. version: the model's.
    """

    def __init__(self, came: Came, only: Only, leaving: Leaving, ranks: Ranks) -> None:
        self.session, self.session_id = came.session, came.session_id
        self.round, self.version = came.round, came.version
        self.options, self.config = dict(came.options), dict(came.config)
        self.path: Path = came.path
        self._only = only
        self._leaving = leaving
        self._ranks = ranks
        self._dropped = False

    @property
    def dropped(self) -> bool:
        """Whether the server no longer needs this work, or somebody wants the script to leave.

        Several processes that train together learn of it in `steps` and `send`, all at once.
        """
        return self._dropped or (self._ranks.size == 1 and self._is_unneeded)

    @property
    def _is_unneeded(self) -> bool:
        """As far as this process knows."""
        return self._dropped or self._stands() > Standing.EXHAUSTED

    def _stands(self) -> Standing:
        """What this process knows of the work."""
        return Standing.LEAVES if self._leaving.event.is_set() else Standing.GOES_ON

    def __str__(self) -> str:
        return f"{self.session}, round {self.round}"


class Held(Handed):
    """A seat that this process holds: it is answered, dropped or given up."""

    answer: ClassVar[str]  # what is sent, within a sentence

    def __init__(self, participation: str, came: Came, place: Place) -> None:
        super().__init__(came, place.only, place.leaving, place.ranks)
        self._participation = participation
        self._place = place
        self._is_over = False

    def _stands(self) -> Standing:
        return max(super()._stands(), Standing.DROPPED if self._place.progress.dropped.is_set() else Standing.GOES_ON)

    @property
    def is_over(self) -> bool:
        """Whether it was answered, dropped or given up."""
        return self._is_over

    def give_up(self, reason: str) -> None:
        """Let the server know that this work cannot be done, and why."""
        if not self._is_over:
            self._end()
            self._place.membership.give_up(self._participation, reason)

    def fail(self, error: BaseException, file: str = "") -> None:
        """Give up for an exception of the script's. file: the script's, whose line is told.

        It is kept if another process of the training was killed: all of them do the same work again.
        """
        if self._ranks.lost_one(FAREWELL_SECONDS):
            self._say("Another process of this training was killed. Start them again, and they get this work again.")
        else:
            self.give_up(self._ranks.why or sentence(error, file))

    def conclude(self) -> None:
        """Called when the script asks for the next work: a seat that is still open is given up."""
        if self._is_over or self._leaving.event.is_set():
            return
        if self._is_unneeded:
            self._drop()
        else:
            self.give_up(f"The script went on to the next work without sending {self.answer}.")

    def stop(self) -> None:
        """Say nothing more of it to the server: the script leaves."""
        self._place.progress.__exit__()

    def _drop(self, why: str = "") -> None:
        self._end(dropped=True)
        self._say(f"Dropped: {why or 'The server no longer needs this work.'}")

    def _end(self, *, dropped: bool = False) -> None:
        self._is_over, self._dropped = True, dropped

    def _say(self, text: str) -> None:
        self._place.desk.display.say(text)
