"""The process of many clients, from its start until the last client has left."""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from clientagent import device
from clientagent.agent import on_signals
from clientagent.connection import Connection
from clientagent.crowd import board, naming, polls
from clientagent.crowd.board import Board, MemberDisplay
from clientagent.crowd.crew import Crew, CrowdData
from clientagent.crowd.lending import Lending
from clientagent.crowd.member import Member, Shared, Tools
from clientagent.crowd.sharing import MemberLink, SharedModels, SharingApi
from clientagent.data import SiteData
from clientagent.errors import Ends, Misconfigured
from clientagent.identity import identify, open_state
from clientagent.limits import limits_of
from clientagent.link import Link
from clientagent.lock import try_lock
from clientagent.membership import connect
from clientagent.settings import Settings
from clientagent.state import State
from federation.fl.version import __version__

LOOK_SECONDS = 0.2
STACK_BYTES = 1 << 20  # of a thread; the usual 8 MB would be a lot of addresses for a thousand
SWITCH_SECONDS = 0.0005  # a thread that has work for a free worker waits no longer for the others
SPARE_FILES = 64  # open files that belong to no client


def run(settings: Settings) -> int:
    """Be all clients until Ctrl-C or SIGTERM, or until each has ended by itself. Returns the exit status."""
    leaving = threading.Event()
    on_signals(leaving)
    sys.setswitchinterval(SWITCH_SECONDS)
    members = naming.members(settings)
    SiteData(members[0])  # raises Misconfigured for a partition or workload that is invalid
    device.require(settings.device)
    _need_files(len(members), settings.connections, naming.workers(settings))
    folder = naming.folder(settings)
    with _alone(folder):
        crowd = Crowd(replace(settings, server=naming.server(members)), folder, leaving)
        try:
            crowd.run(members)
        finally:
            crowd.close()
    return crowd.status


def _alone(folder: Path) -> contextlib.AbstractContextManager[object]:
    """Hold the folder's lock within the block. Raises Misconfigured if another process does."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = try_lock(folder / "lock")
    except OSError as error:
        raise Misconfigured(f"The state folder {folder} cannot be used: {error.strerror}.") from error
    if lock is None:
        raise Misconfigured(f"Another agent uses the state folder {folder}. Give each its own --state.")
    return contextlib.closing(lock)


def _need_files(clients: int, connections: int, workers: int) -> None:
    """Raise the limit of open files as far as it is needed. Raises Misconfigured if that is not allowed."""
    needed = clients + min(clients, connections) + 3 * polls.places(workers) + 2 * polls.AT_THE_DOOR + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise Misconfigured(
                f"--clients {clients} needs {needed} open files, and this system allows {hard}. Raise the limit "
                "(ulimit -n), or use fewer clients."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Crowd:
    """status: of the process, once `run` has returned."""

    def __init__(self, settings: Settings, folder: Path, leaving: threading.Event) -> None:
        clients = settings.clients or 1
        workers = naming.workers(settings)
        self.status = 0
        self._settings, self._leaving = settings, leaving
        self._folder = folder
        self._board = Board(board.for_terminal(sys.stdout), clients, folder)
        self._link = Link(self._board.say)
        self._models = SharedModels(settings.model_cache or folder / "models", alone=settings.model_cache is None)
        self._crew = Crew(settings, clients, workers, leaving)
        self._connections: list[Connection] = []
        self._shared = self._to_share(clients, workers)
        self._here: dict[int, Member] = {}  # by number
        self._statuses: list[int] = []  # of clients that ended by themselves

    def _to_share(self, clients: int, workers: int) -> Shared:
        def connections(count: int) -> Lending[Connection]:
            made = [Connection(self._settings.server or "") for _ in range(count)]
            self._connections += made
            return Lending(made)

        calls = min(clients, self._settings.connections)
        return Shared(
            board=self._board,
            door=connections(polls.AT_THE_DOOR),
            calls=connections(calls),
            places=connections(polls.places(workers)),
            wait_seconds=polls.wait_seconds(clients, calls),
            leaving=self._leaving,
        )

    def run(self, members: Sequence[Settings]) -> None:
        workers = naming.workers(self._settings)
        if own := limits_of(self._settings).described:
            self._board.say(own)
        self._board.say(
            f"fl-agent {__version__}: {len(members)} clients, {members[0].name} to {members[-1].name}, with {workers} "
            f"worker processes. State is kept in {self._folder}; {board.LOG} there has all that the clients say."
        )
        threading.stack_size(STACK_BYTES)
        threads = [
            threading.Thread(target=self._be, args=(number, each), name=str(each.name), daemon=True)
            for number, each in enumerate(members, start=1)
        ]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads) and not self._leaving.wait(LOOK_SECONDS):
                self._board.show()
        except KeyboardInterrupt:
            pass
        if self._leaving.is_set():
            self._leave(threads)
        self._board.say(self._board.totals)
        if len(self._statuses) == len(members):
            self.status = max(self._statuses)

    def close(self) -> None:
        self._crew.end()
        for connection in self._connections:
            connection.close()
        self._board.close()

    def _leave(self, threads: Sequence[threading.Thread]) -> None:
        self._board.say("Leaving. Press Ctrl-C again to end at once.")
        self._crew.close()
        self._shared.calls.close()
        self._shared.places.close()
        while alive := [thread for thread in threads if thread.is_alive()]:
            for member in [*self._here.values()]:
                member.abort()
            alive[0].join(LOOK_SECONDS)
            self._board.show()
        self._board.say("Left.")

    # ---- in a client's thread

    def _be(self, number: int, settings: Settings) -> None:
        """Be one client. What ends it ends no other one."""
        name = str(settings.name)
        shown = self._board.of(name)
        try:
            self._live(number, replace(settings, server=self._settings.server), shown)
        except KeyboardInterrupt:  # everybody leaves, and this one has not begun
            pass
        except Ends as error:
            self._board.notice(name, str(error))
            self._statuses.append(error.status)
        except Exception as error:
            self._board.log(name, traceback.format_exc())
            self._board.notice(name, f"ended by {type(error).__name__}: {error}")
            self._statuses.append(1)
        finally:
            self._here.pop(number, None)
            shown.close()

    def _live(self, number: int, settings: Settings, shown: MemberDisplay) -> None:
        with self._shared.door.one():  # its folder is made, and the disk may be slow
            if self._leaving.is_set():
                return
            state = open_state(settings)
        try:
            self._here[number] = member = self._member(number, settings, state, shown)
            member.run()
        finally:
            state.close()

    def _member(self, number: int, settings: Settings, state: State, shown: MemberDisplay) -> Member:
        identity = identify(settings, state)
        notice = partial(self._board.notice, identity.name)
        kind = partial(SharingApi, leaving=self._leaving, gave_up=partial(self._gave_up, identity.name))
        api = connect(kind, settings, state, identity, MemberLink(self._link, notice))
        hands = self._crew.of(number, shown.say)
        data = CrowdData(self._crew, hands, settings.workload)
        tools = Tools(api, self._models.of_client(), hands)
        return Member(settings, state, identity, data, shown, self._shared, tools)

    def _gave_up(self, name: str, reason: str) -> None:
        self._board.count(given_up=1)
        self._board.notice(name, f"gives up a piece of work: {reason}")
