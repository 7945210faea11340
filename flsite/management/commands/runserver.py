"""`manage.py runserver`: pages, API, websockets and the embedded worker in one process."""

import os
import sys
from typing import Any

from daphne.management.commands import runserver

from federation import database
from flsite.server import Server


class Command(runserver.Command):
    """daphne's command with our server, an exit status where it could not listen, and an end that is one."""

    def inner_run(self, *args: Any, **options: Any) -> None:
        servers: list[Server] = []

        def make(**settings: Any) -> Server:
            servers.append(Server(**settings))
            return servers[0]

        self.server_cls = make
        database.wait("the server")
        super().inner_run(*args, **options)
        failure = servers[0].failure if servers else ""
        if failure:
            self.stderr.write(failure)
        if failure or not options["use_reloader"]:  # the reloader, which would wait for a change, ends with it
            _end(status=bool(failure))


def _end(*, status: int) -> None:
    """End the process at once.

    Python would first join the threads of requests that were under way, and those may wait for ever for the
    loop that has just stopped. Nothing is lost: whatever counts is in the database before it is answered.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
