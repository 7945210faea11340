"""`manage.py migrate`: Django's, and a database that is locked or still starting is waited for."""

from typing import Any

from django.core.management.commands import migrate

from federation import database


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        # Each migration is a transaction, so what was cut is done again and what was done is skipped.
        database.patiently(lambda: super(Command, self).handle(*args, **options), "migrate")
