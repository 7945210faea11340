"""`manage.py runserver`: pages, API, websockets and the embedded worker in one process."""

import os
import sys
from typing import Any

from daphne.management.commands import runserver
from django.core.management.base import CommandError

from flsite import first_start
from flsite.server import Server

EVERYWHERE = ("0", "0.0.0.0", "::")  # nosec B104  compared with, not listened on


class Command(runserver.Command):
    """daphne's command with our server, a database that is ready, and an exit status where it could not listen."""

    def inner_run(self, *args: Any, **options: Any) -> None:
        servers: list[Server] = []

        def make(**settings: Any) -> Server:
            servers.append(Server(**settings))
            return servers[0]

        self.server_cls = make
        self._prepare()
        super().inner_run(*args, **options)
        failure = servers[0].failure if servers else ""
        if failure:
            self.stderr.write(failure)
        if failure or not options["use_reloader"]:  # the reloader, which would wait for a change, ends with it
            _end(status=bool(failure))

    def _prepare(self) -> None:
        """Ends the process with a sentence where the database cannot be used."""
        try:
            first_start.prepare(self.stdout.write)
        except CommandError as error:
            self.stderr.write(str(error))
            _end(status=1)
        first_start.offer_account(self.stdout.write, self._address())
        self.stdout.flush()

    def _address(self) -> str:
        host = "127.0.0.1" if self.addr in EVERYWHERE else f"[{self.addr}]" if self._raw_ipv6 else self.addr
        return f"{self.protocol}://{host}:{self.port}"


def _end(*, status: int) -> None:
    """End the process at once.

    Python would first join the threads of requests that were under way, and those may wait for ever for the
    loop that has just stopped. Nothing is lost: whatever counts is in the database before it is answered.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
