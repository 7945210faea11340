"""`manage.py prune`: delete now what is kept no longer; a running server does so by itself, within a day of work."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from federation import storage
from federation.services import retention


class Command(BaseCommand):
    help = "Delete the updates and models that FL_KEEP_UPDATES and FL_KEEP_MODELS no longer keep, and leftovers."

    def handle(self, *args: Any, **options: Any) -> None:
        storage.sweep()
        storage.spare.drop(unused_seconds=0)
        deleted = retention.prune(now=timezone.now())
        self.stdout.write("1 weight file is deleted." if deleted == 1 else f"{deleted} weight files are deleted.")
