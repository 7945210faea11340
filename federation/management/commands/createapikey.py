"""`manage.py createapikey USER`: a key for an operator's scripts."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from federation.services import apikeys


class Command(BaseCommand):
    help = "Make an API key that acts as a user. It is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user's name")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for scripts")

    def handle(self, *args: Any, user: str, as_json: bool, **options: Any) -> None:
        found = get_user_model().objects.filter(username=user).first()
        if found is None:
            raise CommandError(f"There is no user {user}. `manage.py createsuperuser` makes one.")
        _, key = apikeys.create(found)
        self.stdout.write(json.dumps({"api_key": key}) if as_json else key)
