"""The agent: enrols once, then asks for work, does it and asks again, until it leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from clientagent import device, display, kinds, policy, site_workloads
from clientagent import work as works
from clientagent.api import Api
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.display import Display
from clientagent.errors import Ends, Failed, HeldElsewhere, TokenRefused
from clientagent.hands import Hands, OwnHands
from clientagent.identity import identify, open_state
from clientagent.kinds.kind import Desk, Kind
from clientagent.link import Link
from clientagent.logtail import LogTail
from clientagent.membership import Membership, connect
from clientagent.models import ModelCache, Models
from clientagent.settings import Settings
from clientagent.state import Identity, State
from federation.fl import client_state, staying
from federation.fl.version import __version__
from federation.fl.workloads import WORKLOADS, Workload

# Additions to the contract that a server may use with this agent.
UNDERSTANDS = ["buffers", client_state.UNDERSTOOD, staying.UNDERSTOOD, staying.FREEZES]
AGAIN_SECONDS = 10.0  # before work is taken up again that had ended here


def run(settings: Settings) -> int:
    """Be the agent until Ctrl-C or SIGTERM, or until it ends by itself (raises Ends). Returns the exit status."""
    leaving = threading.Event()
    on_signals(leaving)
    data = SiteData(settings)
    device.require(settings.device)
    state = open_state(settings)
    terminal = display.for_terminal(sys.stdout)
    if settings.send_log:
        terminal = LogTail(terminal)
    try:
        identity = identify(settings, state)
        if own := data.limits.described:
            terminal.say(own)
        means = means_of_its_own(settings, state, identity, data, terminal)
        Agent(settings, state, identity, data, terminal, leaving, means).run()
    finally:
        terminal.close()
        state.close()
    return 0


def on_signals(leaving: threading.Event) -> None:
    """The first Ctrl-C or SIGTERM leaves politely; a second one ends at once."""

    def on_signal(number: int, frame: object) -> None:
        if leaving.is_set():
            display.show_cursor()
            os._exit(130)
        leaving.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)


class Counts(Protocol):
    """What an agent tells of its data."""

    def census(self, name: str) -> dict[str, Any]:
        """How many examples there are, and of what. name: the client's, salts the fingerprint."""

    def take_change(self) -> bool:
        """Whether data were read again because they had changed, since the last call."""

    def take_notes(self) -> list[str]:
        """What is odd about data that were read since the last call, in sentences."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an agent makes its calls with, where it finds models, and who computes."""

    api: Api
    models: Models
    hands: Hands


def means_of_its_own(settings: Settings, state: State, identity: Identity, data: SiteData, terminal: Display) -> Means:
    """Connections, models and a process that this agent shares with no other one."""
    api = connect(Api, settings, state, identity, Link(terminal.say))
    cache = settings.model_cache
    models = ModelCache(cache or state.models, shared=cache is not None)
    return Means(api, models, OwnHands(data, Device(settings.device, settings.threads)))


class Agent:
    """One client's life at its server, from joining to leaving. For one thread."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        identity: Identity,
        data: Counts,
        terminal: Display,
        leaving: threading.Event,
        means: Means,
    ) -> None:
        self._settings = settings
        self._state = state
        self._data = data
        self._display = terminal
        self._leaving = leaving
        self._api = means.api
        self._membership = Membership(settings, state, identity, terminal, self._describe, means.api, self._catalogue)
        desk = Desk(means.api, means.models, state, means.hands, terminal, leaving)
        self._kinds = {name: kind(desk) for name, kind in kinds.by_name().items()}
        self._examples: dict[str, int] = {}  # by workload, as they were counted last
        self._ended = ""  # the participation that ended last

    def run(self) -> None:
        """Enrol if necessary, and work until it is time to leave. Raises Ends."""
        mine = self._membership
        self._display.say(f"fl-agent {__version__}: {mine.name} at {mine.server}")
        try:
            self._begin()
            if isinstance(self._display, LogTail):
                self._display.start(self._api.another(threading.Event()))
            self._work()
        except KeyboardInterrupt:
            self._display.say("Leaving. Press Ctrl-C again to end at once.")
            self._leave()
        except (TokenRefused, HeldElsewhere):  # a goodbye would not be ours to say
            raise
        except Ends:
            self._leave()
            raise
        else:
            self._leave()
        finally:
            self._api.close()

    def _begin(self) -> None:
        self._membership.begin()

    def _leave(self) -> None:
        self._membership.leave()

    def _ask(self) -> Mapping[str, Any] | None:
        """The work to do now, if any came up for a while."""
        return self._membership.ask()

    def _describe(self) -> dict[str, Any]:
        """Of built-in workloads that this site does not serve it is told that there are no examples."""
        served = {name: workload for name, workload in WORKLOADS.items() if _is_served(workload)}
        sources = {name: workload.digest() for name, workload in served.items()}
        does = sorted({kind for workload in served.values() for kind in self._kinds_for(workload)})
        knows = {"workloads": sources, "kinds": does, "understands": UNDERSTANDS}
        counted = self._census() if self._settings.workload in served else {}
        self._examples = counted.get("examples", {})
        if others := dict.fromkeys(set(WORKLOADS.built_in) - set(served), 0):
            counted = counted | {"examples": self._examples | others}
        return device.describe(self._settings.device) | knows | counted

    def _catalogue(self) -> list[dict[str, Any]]:
        return site_workloads.catalogue(self._kinds_for, self._examples)

    def _kinds_for(self, workload: Workload) -> list[str]:
        return [name for name, kind in sorted(self._kinds.items()) if kind.fits(workload)]

    def _census(self) -> dict[str, Any]:
        try:
            return self._data.census(self._membership.name)
        except Exception as error:  # any library's; joining does not depend on it
            self._display.say(f"The data could not be counted ({error}). The agent continues without numbers.")
            return {}

    def _work(self) -> None:
        while not self._leaving.is_set():
            self._display.waiting()
            self._look_at_workloads()
            body = self._ask()
            if body is not None:
                self._take(body)
                self._say_notes()
                self._tell_change()
                if self._settings.once:
                    break

    def _look_at_workloads(self) -> None:
        """Serve the files of --workloads as they are now. Not in the middle of work, which is of what was told."""
        if site_workloads.look(self._display.say):
            self._display.say(f"The files in {self._settings.workloads} changed and were read again.")
            self._membership.tell()

    def _say_notes(self) -> None:
        for note in self._data.take_notes():
            self._display.say(f"Data: {note}")

    def _tell_change(self) -> None:
        """Report data that changed since they were read, to the site's owner and to the operators."""
        if self._data.take_change():
            self._display.say(f"The data in {self._settings.data} changed and were read again.")
            self._membership.tell()

    def _take(self, body: Mapping[str, Any]) -> None:
        """Do a piece of work, or give it up with the reason. Only what ends the agent comes out of here."""
        try:
            seat = works.participation(body)
        except Failed as error:
            self._display.say(str(error))
            self._api.pause(AGAIN_SECONDS)
            return
        if seat == self._ended:
            self._api.pause(AGAIN_SECONDS)
        self._ended = seat
        with self._membership.holding(seat):
            self._kind(body.get("kind")).do(body)
        self._state.forget()

    def _kind(self, name: object) -> Kind:
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise Failed(f"This agent ({__version__}) does not know work of the kind {name!r}. Update the agent.")
        return kind


def _is_served(workload: Workload) -> bool:
    return not policy.refusal(workload.name, workload.digest())
