"""One client of many: an agent that borrows what it needs, and waits in line for a place to work."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clientagent.agent import Agent, Means
from clientagent.connection import Connection
from clientagent.crowd import polls
from clientagent.crowd.board import IN_LINE, Board, MemberDisplay
from clientagent.crowd.crew import CrewHands, CrowdData
from clientagent.crowd.lending import Lending, Ticket
from clientagent.crowd.sharing import ClientModels, SharingApi
from clientagent.kinds.kind import Kind
from clientagent.settings import Settings
from clientagent.state import Identity, State
from federation.fl.workloads import Workload


@dataclass(frozen=True, slots=True)
class Shared:
    """What all clients borrow from. door: to join and to leave; calls: to ask for work; places: to do it."""

    board: Board
    door: Lending[Connection]
    calls: Lending[Connection]
    places: Lending[Connection]
    wait_seconds: float  # of a call for work
    leaving: threading.Event


@dataclass(frozen=True, slots=True)
class Tools:
    """One client's ways to what all share."""

    api: SharingApi
    models: ClientModels
    hands: CrewHands


class Member(Agent):
    """For one thread, except for `abort`."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        identity: Identity,
        data: CrowdData,
        shown: MemberDisplay,
        shared: Shared,
        tools: Tools,
    ) -> None:
        self._borrowing, self._models, self._shared, self._shown = tools.api, tools.models, shared, shown
        means = Means(tools.api, tools.models, tools.hands)
        super().__init__(settings, state, identity, data, shown, shared.leaving, means)

    def abort(self) -> None:
        """Interrupt whatever the member's thread waits for at the network. Everybody is leaving."""
        self._borrowing.connection.abort()

    def _begin(self) -> None:
        with self._borrowing.within(self._shared.door):
            super()._begin()

    def _leave(self) -> None:
        with self._shared.door.one():
            super()._leave()

    def _ask(self) -> Mapping[str, Any] | None:
        with self._borrowing.within(self._shared.calls):
            return self._membership.ask(self._shared.wait_seconds)

    def _look_at_workloads(self) -> None:
        """They stay what they were at the start: the workers have them in memory."""

    def _take(self, body: Mapping[str, Any]) -> None:
        """Do it once there is a place, if the server still wants it then."""
        self._shown.be(IN_LINE)
        ticket = self._shared.places.ask()
        try:
            wanted: Mapping[str, Any] | None = body
            while wanted is not None and not ticket.wait(polls.LOOK_AGAIN_SECONDS):
                wanted, ticket = self._look_again(ticket)
            if wanted is not None:
                with self._borrowing.over(ticket.thing):
                    super()._take(wanted)
        finally:
            ticket.give_up()
            self._models.release()

    def _look_again(self, ticket: Ticket[Connection]) -> tuple[Mapping[str, Any] | None, Ticket[Connection]]:
        """The work as it is offered now, and the place in line. Asking shows the server that this client is there.

        A client that has to pause, because it was disabled or the server is away, goes to the end of the line.
        """
        self._borrowing.in_line = ticket
        try:
            with self._borrowing.within(self._shared.calls):
                wanted = self._membership.ask(0)
        finally:
            self._borrowing.in_line = None
        return wanted, self._shared.places.ask() if ticket.is_over else ticket

    def _kind(self, name: object) -> Kind:
        return Told(super()._kind(name), self._shared.board)


class Told:
    """A kind whose results are counted on the board."""

    def __init__(self, kind: Kind, board: Board) -> None:
        self.name = kind.name
        self._kind, self._board = kind, board

    @staticmethod
    def fits(workload: Workload) -> bool:
        return True

    def do(self, body: Mapping[str, Any]) -> None:
        self._kind.do(body)
        self._board.count(sent=1)
