"""The agent: enrols once, then asks for work, does it and asks again, until it leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clientagent import device, display, instance, kinds
from clientagent import work as works
from clientagent.api import Api
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.display import Display
from clientagent.errors import Dropped, Ends, Failed, HeldElsewhere, Refused, TokenRefused
from clientagent.identity import identify, open_state
from clientagent.kinds.kind import Desk, Kind
from clientagent.link import Link
from clientagent.logtail import LogTail
from clientagent.models import ModelCache
from clientagent.settings import Settings
from clientagent.state import Identity, State
from federation import killpoints
from federation.fl.options import OptionError
from federation.fl.partition import PartitionError
from federation.fl.version import __version__
from federation.fl.weights import WeightsError
from federation.fl.workloads import WORKLOADS, DataError, Stopped
from federation.killpoints import Point

WAIT_SECONDS = 30  # a long poll
UNDERSTANDS = ["buffers"]  # additions to the contract that a server may use with this agent
AGAIN_SECONDS = 10.0  # before work is taken up again that had ended here


def run(settings: Settings) -> int:
    """Be the agent until Ctrl-C or SIGTERM, or until it ends by itself (raises Ends). Returns the exit status."""
    leaving = threading.Event()
    _on_signals(leaving)
    data = SiteData(settings)
    device.require(settings.device)
    state = open_state(settings)
    terminal = display.for_terminal(sys.stdout)
    if settings.send_log:
        terminal = LogTail(terminal)
    try:
        agent = Agent(settings, state, identify(settings, state), data, terminal, leaving)
        agent.run()
    finally:
        terminal.close()
        state.close()
    return 0


def _on_signals(leaving: threading.Event) -> None:
    """The first Ctrl-C or SIGTERM leaves politely; a second one ends at once."""

    def on_signal(number: int, frame: object) -> None:
        if leaving.is_set():
            display.show_cursor()
            os._exit(130)
        leaving.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)


class Agent:
    """One client's life at its server, from joining to leaving."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        identity: Identity,
        data: SiteData,
        terminal: Display,
        leaving: threading.Event,
    ) -> None:
        self._settings = settings
        self._state = state
        self._identity = identity
        self._data = data
        self._display = terminal
        self._leaving = leaving
        self._api = Api(
            identity.server,
            identity.token,
            Link(terminal.say),
            instance=instance.begin(state.folder),
            take_over=settings.take_over,
        )
        cache = settings.model_cache
        models = ModelCache(cache or state.models, shared=cache is not None)
        where = Device(settings.device, settings.threads)
        desk = Desk(self._api, models, state, data, where, terminal, leaving)
        self._kinds = {name: kind(desk) for name, kind in kinds.by_name().items()}
        self._version_told = __version__
        self._ended = ""  # the participation that ended last

    def run(self) -> None:
        """Enrol if necessary, and work until it is time to leave. Raises Ends."""
        self._display.say(f"fl-agent {__version__}: {self._identity.name} at {self._identity.server}")
        try:
            if not self._identity.client_id:
                self._enroll()
            else:
                self._tell()
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

    def _leave(self) -> None:
        """The token and unfinished work stay, so that the same client comes back."""
        if self._identity.client_id:
            told = self._api.leave()
            self._display.say("Left." if told else "Left. The server did not answer and will notice by itself.")

    def _enroll(self) -> None:
        mine = self._identity
        try:
            answer = self._api.enroll(mine.join_code, mine.name, self._describe())
        except Refused:
            self._state.save(replace(mine, join_code=""))
            raise
        killpoints.reached(Point.ENROLLED)
        self._identity = replace(mine, name=str(answer["name"]), client_id=str(answer["client_id"]), join_code="")
        self._state.save(self._identity)
        self._display.say(f"Enrolled as {self._identity.name}. State is kept in {self._state.folder}.")
        self._check_version()

    def _tell(self) -> None:
        """Report what this machine and its data are now. Operators and the site's owner learn what changed."""
        for change in self._api.tell(self._describe()):
            self._display.say(f"{_of_change(change)} The server's operators see this, too.")

    def _describe(self) -> dict[str, Any]:
        sources = {name: workload.digest() for name, workload in WORKLOADS.items()}
        does = [name for name, kind in sorted(self._kinds.items()) if any(map(kind.fits, WORKLOADS.values()))]
        knows = {"workloads": sources, "kinds": does, "understands": UNDERSTANDS}
        return device.describe(self._settings.device) | knows | self._census()

    def _census(self) -> dict[str, Any]:
        try:
            return self._data.census(self._identity.name)
        except Exception as error:  # any library's; joining does not depend on it
            self._display.say(f"The data could not be counted ({error}). The agent continues without numbers.")
            return {}

    def _work(self) -> None:
        while not self._leaving.is_set():
            self._display.waiting()
            before = self._api.server_version
            body = self._api.work(WAIT_SECONDS)
            self._check_version()
            if before and self._api.server_version not in ("", before):
                self._tell()  # another release may keep more of it
            if body is not None:
                self._take(body)
                self._tell_change()
                if self._settings.once:
                    break

    def _tell_change(self) -> None:
        """Report data that changed since they were read, to the site's owner and to the operators."""
        if self._data.take_change():
            self._display.say(f"The data in {self._settings.data} changed and were read again.")
            self._tell()

    def _check_version(self) -> None:
        there = self._api.server_version
        if not there or there == self._version_told:
            return
        self._version_told = there
        if there.split(".")[0] != __version__.split(".")[0]:
            raise Refused(f"The server is version {there}, this agent {__version__}. Update the older of the two.")
        self._display.say(f"The server is version {there}, this agent {__version__}. They work together.")

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
        try:
            self._kind(body.get("kind")).do(body)
        except Ends:
            raise
        except (Dropped, Stopped) as error:
            self._display.say(f"Dropped: {error or 'The server no longer needs this work.'}")
        except (Failed, OptionError, PartitionError, WeightsError, DataError) as error:
            self._give_up(seat, str(error))
        except Exception as error:  # a workload's, torch's, the disk's: the page shows it, and this site continues
            self._display.say(traceback.format_exc())
            self._give_up(seat, f"{type(error).__name__}: {error}")
        self._state.forget()

    def _kind(self, name: object) -> Kind:
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise Failed(f"This agent ({__version__}) does not know work of the kind {name!r}. Update the agent.")
        return kind

    def _give_up(self, seat: str, reason: str) -> None:
        self._display.say(f"The agent gives up this seat: {reason}")
        self._api.fail(seat, display.printable(reason))  # the server refuses some signs, and would offer it again


def _of_change(change: Mapping[str, Any]) -> str:
    """What the server found changed, as a sentence of its own."""
    if change.get("what") == "num_examples":
        before, after = change.get("before"), change.get("after")
        return f"This site's data changed since the last start: {after} examples instead of {before}."
    if change.get("what") == "workload":
        return f"The source of the workload {change.get('name')!r} changed since the last start."
    return "This site's data changed since the last start. The number of examples is the same."
