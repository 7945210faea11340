"""How the server is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from dashboard.kit import formats
from federation.fl.version import __version__
from federation.lifecycle import RoundStatus
from federation.models import Round, Server

NEARLY_FULL = 0.9


@dataclass(frozen=True, slots=True)
class ServerState:
    ticked_at: datetime | None
    is_ticking: bool
    aggregating: int
    disk_used: int
    disk_total: int
    database: str
    version: str

    @property
    def disk_share(self) -> float:
        return self.disk_used / self.disk_total if self.disk_total else 0.0

    @property
    def is_well(self) -> bool:
        return self.is_ticking and self.disk_share < NEARLY_FULL


def state(now: datetime) -> ServerState:
    server = Server.objects.filter(pk=1).first()
    disk = shutil.disk_usage(settings.FL_DATA_DIR)
    return ServerState(
        ticked_at=server.ticked_at if server else None,
        is_ticking=server is not None and server.is_ticking(now),
        aggregating=Round.objects.filter(status=RoundStatus.AGGREGATING).count(),
        disk_used=disk.total - disk.free,
        disk_total=disk.total,
        database=_database(),
        version=__version__,
    )


def _database() -> str:
    """'SQLite, 212 MB'."""
    if connection.vendor == "sqlite":
        file = Path(str(connection.settings_dict["NAME"]))
        held = file.stat().st_size if file.exists() else 0
        return "SQLite, " + " ".join(formats.size(held))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return f"{connection.display_name}, " + " ".join(formats.size(cursor.fetchone()[0]))
