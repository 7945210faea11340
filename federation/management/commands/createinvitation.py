"""`manage.py createinvitation`: a join code for agents."""

import json
from argparse import ArgumentParser
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
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for scripts")

    def handle(self, *args: Any, uses: int, days: int, as_json: bool, **options: Any) -> None:
        try:
            _, code = invitations.create(uses=uses, expires_in_seconds=days * 86_400, by=None, now=timezone.now())
        except Invalid as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(json.dumps({"join_code": code}) if as_json else code)
