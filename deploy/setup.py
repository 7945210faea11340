"""Makes the secrets of a stack, each once, in a volume that only the processes which need them mount.

    python deploy/setup.py /secrets

A file that is there is left as it is, so a secret of your own stays.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

NAMES = ("database_password", "secret_key")


def make(folder: Path) -> list[str]:
    """Returns the names of those that were made."""
    return [name for name in NAMES if _make(folder / name)]


def _make(file: Path) -> bool:
    """Whole or not at all: the file appears under its name when it is complete."""
    if file.exists():
        return False
    part = file.with_suffix(".part")
    part.write_text(secrets.token_urlsafe(48))
    part.chmod(0o444)  # PostgreSQL's user reads it, too; who may is decided by who mounts the volume
    os.replace(part, file)
    return True


if __name__ == "__main__":
    for made in make(Path(sys.argv[1])):
        print(f"Made {made}.")
