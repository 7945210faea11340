"""The open connections of a daphne: how many there may be, from whom, and which one ends when there are too many."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings

from federation import addresses
from flsite.gate.channel import Channel, Phase

LEAST_SPARE = 64  # open files that are no connections: the database's, weights, logs
MOST = 16_384


def most_connections() -> int:
    """The setting, or three quarters of the files that this process may open."""
    if settings.FL_MAX_CONNECTIONS:
        return settings.FL_MAX_CONNECTIONS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return MOST
    return max(16, min(MOST, files * 3 // 4, files - LEAST_SPARE))


class Connections:
    """A stranger has shown no valid credential. When there is no room, the oldest stranger's connection ends.

    Strangers of one address may have a quarter of all connections; a proxy, which stands for everybody, may have all.
    Without strangers the connection ends that has been idle longest, and if all are busy, the new one.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], Any]) -> None:
        self.most = most_connections()
        self.most_strangers = self.most if settings.FL_BEHIND_PROXY else max(8, self.most // 4)
        self._strangers: dict[str, dict[Channel, None]] = {}  # by address, oldest first
        self._line: dict[Channel, None] = {}  # all of them, oldest first
        self._known: dict[Channel, None] = {}
        self._upgraded: dict[Any, None] = {}  # transports that are websockets now
        self._later = later
        self._looking = False

    def __len__(self) -> int:
        return len(self._line) + len(self._known) + len(self._upgraded)

    def __iter__(self) -> Iterator[Channel]:
        """Those that are no websockets."""
        return iter((*self._line, *self._known))

    def add(self, channel: Channel) -> None:
        peer = str(getattr(channel.transport.getPeer(), "host", ""))
        channel.address = addresses.network(peer) or peer
        if not self._looking:
            self._looking = True
            self._later(1.0, self._look)
        mine = self._strangers.get(channel.address, {})
        if len(mine) >= self.most_strangers:
            self._end_oldest(mine)
        elif len(self) >= self.most and not (self._end_oldest(self._line) or self._end_idle()):
            channel.transport.abortConnection()
            return
        self._strangers.setdefault(channel.address, {})[channel] = None
        self._line[channel] = None

    def discard(self, channel: Channel) -> None:
        self._line.pop(channel, None)
        self._known.pop(channel, None)
        mine = self._strangers.get(channel.address)
        if mine is not None:
            mine.pop(channel, None)
            if not mine:
                del self._strangers[channel.address]

    def _end_oldest(self, strangers: dict[Channel, None]) -> bool:
        """End the oldest that is still a stranger. False if there is none."""
        while strangers:
            channel = next(iter(strangers))
            if not self._moved(channel):
                self._end(channel)
                return True
        return False

    def _end_idle(self) -> bool:
        idle = [channel for channel in self._known if channel.phase is Phase.IDLE]
        if idle:
            self._end(min(idle, key=lambda channel: channel.since))
        return bool(idle)

    def _end(self, channel: Channel) -> None:
        self.discard(channel)
        channel.transport.abortConnection()

    def _moved(self, channel: Channel) -> bool:
        """Move a connection that became a websocket or showed a valid credential. Returns whether it did."""
        transport = channel.transport
        if transport.protocol is not channel:
            self.discard(channel)
            if not transport.disconnected:
                self._upgraded[transport] = None
            return True
        if channel in self._line and channel.is_known():
            self.discard(channel)
            self._known[channel] = None
            return True
        return False

    def _look(self) -> None:
        """Every second, end what takes too long."""
        self._later(1.0, self._look)
        for transport in [each for each in self._upgraded if each.disconnected]:
            del self._upgraded[transport]
        now = time.monotonic()
        for channel in [*self._line, *self._known]:
            if not self._moved(channel):
                channel.look(now)
