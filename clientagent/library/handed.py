"""What a script is handed out, of whatever kind: it knows its model, and whether it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from clientagent import work as works
from clientagent.kinds.kind import Desk
from clientagent.library.leaving import Leaving
from clientagent.library.memory import LastUpdate, Memory
from clientagent.library.models import Only
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
    progress: Progress
    last: LastUpdate | None


class Handed:
    """A seat that a script works for.

    session, session_id: whose model it is. round: its number among those of its kind. version: the model's.
    """

    answer: ClassVar[str]  # what is sent, within a sentence

    def __init__(self, work: works.Work, version: int, options: Mapping[str, Any], path: Path, place: Place) -> None:
        self.session, self.session_id, self.round, self.version = work.session, work.session_id, work.round, version
        self.options, self.config = dict(options), dict(work.config)
        self.path = path
        self._participation = work.participation
        self._place = place
        self._is_over = False
        self._dropped = False

    @property
    def dropped(self) -> bool:
        """Whether the server no longer needs this work, or somebody wants the script to leave."""
        return self._dropped or self._place.progress.dropped.is_set() or self._place.leaving.event.is_set()

    @property
    def is_over(self) -> bool:
        """Whether it was answered, dropped or given up."""
        return self._is_over

    def give_up(self, reason: str) -> None:
        """Let the server know that this work cannot be done, and why."""
        if not self._is_over:
            self._end()
            self._place.membership.give_up(self._participation, reason)

    def conclude(self) -> None:
        """Called when the script asks for the next work: a seat that is still open is given up."""
        if self._is_over or self._place.leaving.event.is_set():
            return
        if self.dropped:
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

    def __str__(self) -> str:
        return f"{self.session}, round {self.round}"
