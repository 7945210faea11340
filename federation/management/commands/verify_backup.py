"""`manage.py verify_backup FILE`: whether a backup can be restored, without restoring it."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from federation import backup, dump
from federation.management.progress_bar import bar


class Command(BaseCommand):
    help = "Read a backup through: every digest, the database's integrity, and that nothing it needs is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the backup to read")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            with bar("Verifying") as (total, more):
                contents = backup.verify(file.absolute(), total, more)
        except dump.Unusable as error:
            raise CommandError(f"{file} cannot be restored: {error}") from error
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror or error}.") from error
        if contents.faults:
            raise CommandError("\n".join([f"{file} is not whole:", *contents.faults]))
        self.stdout.write(f"{file} is whole: {contents.files} weight files and the database, of {contents.made_at}.")
