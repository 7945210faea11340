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
        "One of a staff member may administer (invite, remove, delete) too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user's name")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for scripts")
        parser.add_argument("--name", default="", help="what the key is for; the page API keys shows it")
        parser.add_argument("--operate-only", action="store_true", help="a staff member's key that only operates")
        until = parser.add_mutually_exclusive_group()
        until.add_argument("--days", type=int, default=apikeys.USUAL_DAYS, help="how long it is good (a year)")
        until.add_argument("--never", action="store_true", help="it does not expire")

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
