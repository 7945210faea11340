"""`manage.py restore FILE`: a server as it was when the backup was made."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from federation import backup, dump
from federation.management.progress_bar import bar
from federation.models import Client, TrainingSession


class Command(BaseCommand):
    help = "Bring a server back from a backup, on a machine where none is yet. Start it afterwards."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the backup to read")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        if dump.has_content():
            raise CommandError(
                f"The database {connection.settings_dict['NAME']} holds people, clients or sessions already and is not "
                "replaced. Set FL_DATA_DIR to an empty folder (with DATABASE_URL: to an empty database) and try again."
            )
        try:
            with bar("Restoring") as (total, more):
                contents = backup.restore(file.absolute(), total, more)
        except dump.Unusable as error:
            raise CommandError(f"{file} cannot be restored: {error}") from error
        except OSError as error:
            raise CommandError(f"{file} was not restored: {error}.") from error
        counts = (
            _count(TrainingSession.objects.count(), "session"),
            _count(Client.objects.enrolled().count(), "client"),
            _count(contents.files, "weight file"),
        )
        self.stdout.write(
            f"Restored: {', '.join(counts)}, as of {contents.made_at}, into {settings.FL_DATA_DIR}. "
            "Start the server: its agents come back by themselves."
        )
        if contents.faults:
            faults = " ".join(contents.faults)
            raise CommandError(f"{faults} The rest is restored. Run manage.py check_storage --repair.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
