"""`manage.py runserver`: pages, API, websockets and the embedded worker in one process."""

import sys
from typing import Any

from daphne.management.commands import runserver

from flsite.server import Server


class Command(runserver.Command):
    """daphne's command with our server, and an exit status where it could not listen."""

    def inner_run(self, *args: Any, **options: Any) -> None:
        servers: list[Server] = []

        def make(**settings: Any) -> Server:
            servers.append(Server(**settings))
            return servers[0]

        self.server_cls = make
        super().inner_run(*args, **options)
        if servers and servers[0].failure:
            self.stderr.write(servers[0].failure)
            sys.exit(1)
