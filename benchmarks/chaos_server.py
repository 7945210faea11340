"""`manage.py` with a disk that is full while FILE is there: chaos_server.py FILE <arguments of manage.py>."""

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")

from django.core.management import execute_from_command_line  # noqa: E402

from federation import storage  # noqa: E402

FULL = Path(sys.argv.pop(1))
_really_free = storage.free_bytes


def free_bytes() -> int:
    return 0 if FULL.exists() else _really_free()


storage.free_bytes = storage.room.free_bytes = free_bytes

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
