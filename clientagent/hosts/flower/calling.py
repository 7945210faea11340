"""Calls a ClientApp: a message and a context go in, and what it answers is understood."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from hashlib import sha256
from time import time
from typing import Any

from clientagent.errors import Failed, Misconfigured
from clientagent.hosts.flower import configuring, dialects, door, records
from clientagent.hosts.flower.dialects import Reply
from clientagent.hosts.flower.project import Project
from clientagent.identity import folder_of
from clientagent.library.leaving import Left
from clientagent.settings import Settings
from clientagent.state import identity_in

FLAG = "--flower-app"
SERVER = 1  # the number of its node
TTL_SECONDS = 43_200.0  # as long as flwr's own
NODE_CONFIG = ("partition-id", "num-partitions")  # what Flower's simulation gives each client


class Caller:
    """One app. Raises Misconfigured if there is none that can be called."""

    def __init__(self, settings: Settings, project: Project) -> None:
        self.flwr = door.enter()
        self.settings = settings
        self.project = project
        self.config = configuring.of(project.config)
        self._app = self._load()
        self.dialect = dialects.of(self._app, self.flwr)

    def _load(self) -> Any:
        app = self.project.load(self.project.app, FLAG)
        if not isinstance(app, self.flwr.client_app):
            raise Misconfigured(f"{FLAG} {self.project.app}: a {type(app).__name__} is no ClientApp of Flower.")
        return app

    def ask(self, kind: str, round_: int, arrays: Any, config: Mapping[str, Any], context: Any) -> Reply:
        """Send the app a message, and understand its reply. Raises Failed with what went wrong, and where.

        context: what the app keeps is in its `state` afterwards.
        """
        content = self.dialect.content(kind, arrays, config)
        try:
            reply = self._app(self._message(kind, round_, content, context), context)
        except Left:
            raise
        except (Exception, SystemExit) as error:
            raise self.failed(error) from error
        if not isinstance(reply, self.flwr.message):
            raise Failed(f"The app answers {kind} with {type(reply).__name__} instead of a Message.")
        if reply.has_error():
            raise Failed(f"The app answers {kind} with an error: {reply.error.reason or reply.error.code}.")
        try:
            return self.dialect.understood(kind, reply.content)
        except KeyError as error:
            raise Failed(f"The app's reply to {kind} has no record {error}.") from error

    def _message(self, kind: str, round_: int, content: Any, context: Any) -> Any:
        """As it would come from a SuperLink: only there a Message can be made without its metadata."""
        about = self.flwr.metadata(
            run_id=context.run_id,
            message_id=f"{kind}-{round_}",
            src_node_id=SERVER,
            dst_node_id=context.node_id,
            reply_to_message_id="",
            group_id=str(round_),
            created_at=time(),
            ttl=TTL_SECONDS,
            message_type=kind,
        )
        return self.flwr.message(content=content, metadata=about)

    def context(
        self, session: str, options: Mapping[str, Any], config: Mapping[str, Any], kept: Mapping[str, Any] | None
    ) -> Any:
        """A run is a session here, and a node is a site. kept: by the app, in an earlier context."""
        mine = identity_in(folder_of(self.settings))
        return self.flwr.context(
            run_id=_number(session),
            node_id=_number(mine.name if mine else ""),
            node_config=dict(self.settings.flower_node_config),
            state=records.state(kept, self.flwr),
            run_config=self.config.run_config(options, config),
        )

    def failed(self, error: BaseException) -> Failed:
        """An exception of the app's as the reason why its work ends. The site's owner sees all of it."""
        traceback.print_exception(error)
        sentence = self.project.sentence(error)
        if isinstance(error, KeyError) and error.args[0] in NODE_CONFIG:
            sentence += ". Give this site's part: --flower-node-config 'partition-id=0 num-partitions=3'."
        return Failed(sentence)


def _number(name: str) -> int:
    """The same for the same name, as flwr numbers runs and nodes."""
    return int.from_bytes(sha256(name.encode()).digest()[:7], "big")
