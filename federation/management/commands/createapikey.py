"""`manage.py createapikey USER`: a key for an operator's scripts."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from federation.errors import Refused
from federation.services import apikeys


class Command(BaseCommand):
    help = (
        "Make an API key that acts as a user. It is shown this once. "
        "A staff member's key may also administer (invite, remove, delete)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user's name")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for scripts")
        parser.add_argument("--name", default="", help="a name that the page API keys shows")
        parser.add_argument(
            "--operate-only", action="store_true", help="make a staff member's key that may not administer"
        )
        until = parser.add_mutually_exclusive_group()
        until.add_argument(
            "--days", type=int, default=apikeys.USUAL_DAYS, help="how long it is valid (default: a year)"
        )
        until.add_argument("--never", action="store_true", help="make a key that does not expire")

    def handle(self, *args: Any, user: str, as_json: bool, **options: Any) -> None:
        found = get_user_model().objects.filter(username=user).first()
        if found is None:
            raise CommandError(f"There is no user {user}. `manage.py createsuperuser` makes one.")
        try:
            _, key = apikeys.create(
                found,
                name=options["name"],
                days=None if options["never"] else options["days"],
                may_administer=found.is_staff and not options["operate_only"],
            )
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(json.dumps({"api_key": key}) if as_json else key)
