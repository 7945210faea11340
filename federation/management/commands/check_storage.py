"""`manage.py check_storage [--repair]`: every weight file and every reference to one."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from federation.management.progress_bar import bar
from federation.services import inspection
from federation.services.inspection import Finding


class Command(BaseCommand):
    help = "Read every weight file and compare it with its digest; find missing ones and those that nothing needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="make again, delete or note as lost")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        with bar("Checking") as (total, more):
            found = inspection.inspect(total, more)
        if repair:
            found = inspection.mend(found)
        for finding in found:
            self.stdout.write(_line(finding))
        if not found:
            self.stdout.write("Every file is there, fits its digest and is needed.")
        elif not repair:
            self.stdout.write("Run it with --repair to make again what can be, and to delete what nothing needs.")
        if any(finding.left for finding in found):
            sys.exit(1)


def _line(finding: Finding) -> str:
    of = finding.of or "needed by nothing"
    return f"{finding.fault:<8} {finding.digest[:16]}…  {of}" + (f"  {finding.outcome}" if finding.outcome else "")
