"""Several beats may run, and one of them beats: the others wait until it falls silent.

Nobody's clock is compared with another's. Who leads counts up in the server's row, and each of the others watches by
its own clock whether the count moves. Where it does not, the first that counts up in the silent one's place leads.
"""

from __future__ import annotations

from django.db.models import F

from federation.models import Server

RENEW_SECONDS = 1.0
SILENT_SECONDS = 5.0


class Candidate:
    """One beat. name: of no other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._leads = False
        self._seen: tuple[str, int] | None = None  # who led at which count, and since when that is so
        self._since = self._looked = float("-inf")

    def leads(self, clock: float) -> bool:
        """Whether it is this one's turn. clock: seconds that never run backwards. Asks the database once a second."""
        if clock - self._looked >= RENEW_SECONDS:
            self._looked = clock
            self._leads = self._renew() or self._take_over(clock)
        return self._leads

    def _renew(self) -> bool:
        return bool(self._leads and self._count_up(beat=self.name))

    def _take_over(self, clock: float) -> bool:
        row = Server.objects.get_or_create(pk=1)[0]
        seen = row.beat, row.beat_count
        if seen != self._seen:
            self._seen, self._since = seen, clock
        if row.beat and clock - self._since < SILENT_SECONDS:
            return False
        return self._count_up(beat=row.beat, beat_count=row.beat_count)

    def _count_up(self, **where: str | int) -> bool:
        changed = Server.objects.filter(pk=1, **where).update(beat=self.name, beat_count=F("beat_count") + 1)
        return changed == 1

    def resign(self) -> None:
        """Let another one lead at once."""
        Server.objects.filter(pk=1, beat=self.name).update(beat="")
        self._leads = False
