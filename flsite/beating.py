"""Celery's beat, of which several may run."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from celery.beat import Scheduler
from django.db import DatabaseError, InterfaceError, connections

from federation.services.beats import RENEW_SECONDS, Candidate

log = logging.getLogger(__name__)
LONG_AGO = timedelta(days=1)


class ElectedScheduler(Scheduler):
    """Sends what is due while it leads. It keeps no file: whoever begins to lead sends everything once at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._candidate = Candidate(f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}")
        self._led = self._asks = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        leads = self._leads()
        if leads and not self._led:
            log.warning("this beat leads")
            self._make_all_due()
        self._led = leads
        return super().tick(*args, **kwargs) if leads else RENEW_SECONDS

    def _leads(self) -> bool:
        self._asks = True
        try:
            return self._candidate.leads(time.monotonic())
        except (DatabaseError, InterfaceError) as error:
            log.warning("the database is away, and no beat is sent: %s", error)
            connections.close_all()
            return False
        finally:
            self._asks = False

    def _make_all_due(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - LONG_AGO
        self._heap = None  # Celery makes it anew

    def close(self) -> None:
        """Celery calls it in the handler of a signal, so a query may be under way, whose connection is locked then."""
        super().close()
        if self._asks or not self._led:
            return
        with suppress(DatabaseError, InterfaceError):  # the others find out by themselves
            self._candidate.resign()
