"""One client at its server: it joins or comes back, asks for work, gives work up, and leaves."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from clientagent import display, instance
from clientagent.api import CATALOGUES_SINCE, Api
from clientagent.display import Display
from clientagent.errors import Dropped, Ends, Failed, Refused
from clientagent.link import Link
from clientagent.settings import Settings
from clientagent.state import Identity, State
from federation import killpoints
from federation.fl.options import OptionError
from federation.fl.partition import PartitionError
from federation.fl.version import __version__
from federation.fl.weights import WeightsError
from federation.fl.workloads import DataError, Stopped, foreign
from federation.killpoints import Point

WAIT_SECONDS = 30  # a long poll

A = TypeVar("A", bound=Api)


class Membership:
    """What an agent and a script have in common, whatever they do with the work. For one thread.

    describe: what this machine and its data are now, told at each start. api: its calls; None: over connections of
    its own. catalogue: the workloads that only this site has, as it tells them; servers before version 0.2.0 do not
    hear of them.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        identity: Identity,
        terminal: Display,
        describe: Callable[[], dict[str, Any]],
        api: Api | None = None,
        catalogue: Callable[[], list[dict[str, Any]]] = list,
    ) -> None:
        self._state = state
        self._identity = identity
        self._display = terminal
        self._describe = describe
        self._catalogue = catalogue
        self._version_told = __version__
        self.api = api or connect(Api, settings, state, identity, Link(terminal.say))

    @property
    def name(self) -> str:
        return self._identity.name

    @property
    def server(self) -> str:
        return self._identity.server

    def begin(self) -> None:
        """Join, or come back. Raises Ends."""
        told = False
        if self._identity.client_id:
            self.api.server_version = self.api.server_version or self._state.server_version()
            told = self._knows_catalogues
            self.tell()
        else:
            self._enroll()
        if self._catalogue() and self._knows_catalogues:
            if not told:
                self.tell()  # which version the server is, only its first answer said
            self._state.keep_server_version(self.api.server_version)

    def _enroll(self) -> None:
        mine = self._identity
        try:
            answer = self.api.enroll(mine.join_code, mine.name, self._describe())
        except Refused:
            self._state.save(replace(mine, join_code=""))
            raise
        killpoints.reached(Point.ENROLLED)
        self._identity = replace(mine, name=str(answer["name"]), client_id=str(answer["client_id"]), join_code="")
        self._state.save(self._identity)
        self._display.say(f"Enrolled as {self._identity.name}. State is kept in {self._state.folder}.")
        self._check_version()

    def tell(self) -> None:
        """Report what this machine and its data are now. Operators and the site's owner learn what changed."""
        for change in self._tell():
            self._display.say(f"{_of_change(change)} The server's operators see this, too.")

    def _tell(self) -> list[dict[str, Any]]:
        info, told = self._describe(), self._catalogue() if self._knows_catalogues else []
        try:
            return self.api.tell(info | ({"catalogue": told} if told else {}))
        except Failed as error:
            self._display.say(f"The server does not accept what this site says of itself: {error}")
            if not told:
                return []
        try:  # the rest counts without the workloads
            return self.api.tell(info)
        except Failed:
            return []

    @property
    def _knows_catalogues(self) -> bool:
        return self.api.is_since(CATALOGUES_SINCE)

    def ask(self, wait: float = WAIT_SECONDS) -> Mapping[str, Any] | None:
        """The work to do now, as the server describes it; None if none came up for a while. Raises Ends."""
        before = self.api.server_version
        body = self.api.work(wait)
        self._check_version()
        if before and self.api.server_version not in ("", before):
            if self._catalogue():
                self._state.keep_server_version(self.api.server_version)
            self.tell()  # another release may keep more of it
        return body

    @contextlib.contextmanager
    def holding(self, seat: str) -> Iterator[None]:
        """Within the block a seat is worked for; what goes wrong there gives it up with the reason. Raises Ends."""
        try:
            yield
        except Ends:
            raise
        except (Dropped, Stopped) as error:
            self._display.say(f"Dropped: {error or 'The server no longer needs this work.'}")
        except (Failed, OptionError, PartitionError, WeightsError, DataError) as error:
            self.give_up(seat, str(error))
        except Exception as error:  # a workload's, torch's, the disk's: the page shows it, and this site continues
            self._display.say(traceback.format_exc())
            self.give_up(seat, foreign.fault(error))

    def give_up(self, seat: str, reason: str) -> None:
        self._display.say(f"The agent gives up this seat: {reason}")
        self.api.fail(seat, display.printable(reason))  # the server refuses some signs, and would offer it again

    def leave(self) -> None:
        """The token and unfinished work stay, so that the same client comes back."""
        if self._identity.client_id:
            told = self.api.leave()
            self._display.say("Left." if told else "Left. The server did not answer and will notice by itself.")

    def _check_version(self) -> None:
        there = self.api.server_version
        if not there or there == self._version_told:
            return
        self._version_told = there
        if there.split(".")[0] != __version__.split(".")[0]:
            raise Refused(f"The server is version {there}, this agent {__version__}. Update the older of the two.")
        self._display.say(f"The server is version {there}, this agent {__version__}. They work together.")


def connect(kind: Callable[..., A], settings: Settings, state: State, identity: Identity, link: Link) -> A:
    """The calls of a client that begins now. Call it once per start."""
    start = instance.begin(state.folder)
    return kind(identity.server, identity.token, link, instance=start, take_over=settings.take_over)


def _of_change(change: Mapping[str, Any]) -> str:
    """What the server found changed, as a sentence of its own."""
    if change.get("what") == "num_examples":
        before, after = change.get("before"), change.get("after")
        return f"This site's data changed since the last start: {after} examples instead of {before}."
    if change.get("what") == "workload":
        return f"The source of the workload {change.get('name')!r} changed since the last start."
    return "This site's data changed since the last start. The number of examples is the same."
