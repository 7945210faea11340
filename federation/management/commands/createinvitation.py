"""`manage.py createinvitation`: a join code for agents."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from federation.errors import Invalid
from federation.services.clients import invitations


class Command(BaseCommand):
    help = "Make a join code with which client agents enrol. It is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--uses", type=int, default=1, help="how many clients may join by it (1)")
        parser.add_argument("--days", type=int, default=7, help="days until it expires (7)")
        parser.add_argument(
            "--file",
            type=Path,
            help="write the code to FILE, which only this user can read. If FILE is there, nothing is made",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for scripts")

    def handle(self, *args: Any, uses: int, days: int, file: Path | None, as_json: bool, **options: Any) -> None:
        if file is not None:
            _keep(file, lambda: _code(uses, days))
            return
        code = _code(uses, days)
        self.stdout.write(json.dumps({"join_code": code}) if as_json else code)


def _code(uses: int, days: int) -> str:
    try:
        _, code = invitations.create(uses=uses, expires_in_seconds=days * 86_400, by=None, now=timezone.now())
    except Invalid as refusal:
        raise CommandError(str(refusal)) from refusal
    return code


def _keep(file: Path, make: Callable[[], str]) -> None:
    """Whole or not at all: the file appears under its name when it is complete."""
    if file.exists():
        return
    part = file.with_name(f"{file.name}.part")
    try:
        part.touch(mode=0o600)
        part.write_text(f"{make()}\n")
        part.replace(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
