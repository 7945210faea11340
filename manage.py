#!/usr/bin/env python
"""Django's command-line utility."""

import os
import sqlite3
import sys

FOR_OTHERS = {  # commands whose files other users read too: a web server, developers
    "collectstatic",
    "compilemessages",
    "makemessages",
    "makemigrations",
    "optimizemigration",
    "squashmigrations",
    "startapp",
    "startproject",
}


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  the sentence is for those who have an older one
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    if not FOR_OTHERS.intersection(sys.argv[1:2]):
        os.umask(0o077)  # only this user can read what is written
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db import DatabaseError
    except ImportError:
        sys.exit("Django is not installed for this Python. Run `make install`, then use .venv/bin/python.")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # a setting that cannot be: the sentence says which, and what is allowed
        sys.exit(str(error))
    except (DatabaseError, sqlite3.Error):
        from flsite import first_start  # after Django is set up

        if sentence := first_start.fault():
            sys.exit(sentence)
        raise


if __name__ == "__main__":
    main()
