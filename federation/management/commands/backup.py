"""`manage.py backup FILE`: database and weights in one file, while training runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from federation import backup
from federation.management.progress_bar import bar


class Command(BaseCommand):
    help = "Copy the database and every weight file that it needs into one tar file. Training goes on meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the backup to write")
        parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def handle(self, *args: Any, file: Path, force: bool, **options: Any) -> None:
        if file.exists() and not force:
            raise CommandError(f"{file} is there already. Name another file, or add --force to replace it.")
        if not file.absolute().parent.is_dir():
            raise CommandError(f"There is no folder {file.absolute().parent}.")
        try:
            with bar("Backing up") as (total, more):
                contents = backup.write(file.absolute(), total, more)
        except OSError as error:
            raise CommandError(f"The backup was not written: {error}.") from error
        self.stdout.write(f"{file}: {contents.files} weight files and the database, {contents.num_bytes} bytes.")
        if contents.faults:
            raise CommandError(
                " ".join(contents.faults) + " Everything else is in the backup. "
                "`manage.py check_storage --repair` may mend it; then back up again."
            )
