"""When clients were heard of. A web process notes it in memory, and writes it for all of them every few seconds.

Ten thousand clients that wait tell so 700 times a second. A process that is killed forgets a few seconds of this, and a
client counts as online for longer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from federation.compiled import Update
from federation.models import Client

log = logging.getLogger(__name__)
PAUSE_SECONDS = 3.0

# A held poll may outlive its client's removal: that one is not heard of any more.
_heard = Update(Client, "last_seen", only={"removed_at": (), "announced_online": (True,)})


def write(times: Collection[tuple[datetime, int]]) -> int:
    """Write when clients were heard of, each named by its key. Returns how many of them the log calls online."""
    return _heard(times)


class Hearing:
    """What was heard and is not written yet, and the thread that writes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._any = threading.Event()
        self._noted: dict[int, datetime] = {}
        self._missed: set[int] = set()
        self.is_on = False

    def begin(self) -> None:
        """From now on notes are kept for a while. Only a server process does this."""
        self.is_on = True
        threading.Thread(target=self._run, name="hearing", daemon=True).start()

    def note(self, client_id: int, now: datetime) -> bool:
        """Keep this to be written soon. False where the caller has to write it."""
        if not self.is_on:
            return False
        with self._lock:
            if client_id in self._missed:
                self._missed.discard(client_id)
                return False
            self._noted[client_id] = now
        self._any.set()
        return True

    def _run(self) -> None:
        while True:
            self._any.wait()
            time.sleep(min(PAUSE_SECONDS, settings.FL_ONLINE.total_seconds() / 6))
            self._any.clear()
            try:
                self.flush()
            except (DatabaseError, InterfaceError) as error:
                log.warning("what clients were heard of is not written: %s", error)
                connection.close()

    def flush(self) -> None:
        """Write what is kept. Of a client that the log calls offline, the next call is written by its caller."""
        with self._lock:
            noted, self._noted = self._noted, {}
        if not noted:
            return
        with transaction.atomic():
            if write([(noted[client_id], client_id) for client_id in sorted(noted)]) == len(noted):
                return
            known = Client.objects.enrolled().filter(pk__in=noted, announced_online=True).values_list("pk", flat=True)
            missed = noted.keys() - set(known)
        with self._lock:
            self._missed |= missed


heard = Hearing()
