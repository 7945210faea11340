"""Who this agent is: from its state folder, or new from the command line."""

from __future__ import annotations

import platform
import secrets
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from clientagent.errors import Misconfigured
from clientagent.proxies import is_loopback
from clientagent.settings import Settings, client_name
from clientagent.state import Identity, State, default_folder

WHICH_SERVER = "Which server? Give --server (or FL_SERVER_URL), for example http://127.0.0.1:8000."


def open_state(settings: Settings) -> State:
    return State(folder_of(settings))


def folder_of(settings: Settings) -> Path:
    """The state folder that is meant, whether it is there or not."""
    return settings.state or default_folder(settings.name or machine_name())


def identify(settings: Settings, state: State) -> Identity:
    """The identity to go by, saved. Raises Misconfigured where something is missing or does not fit."""
    known = state.identity()
    mine = _returning(settings, known, state) if known and known.client_id else _new(settings, known, state)
    if not settings.insecure:
        _require_privacy(mine.server)
    if mine != known:
        state.save(mine)
    return mine


def _require_privacy(server: str) -> None:
    """Raises Misconfigured if others on the way could read and change what is sent."""
    url = urlsplit(server)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise Misconfigured(
            f"{server} is not encrypted: anybody on the way can read the token and the updates. Use an https:// "
            "address. If you trust the network, add --insecure (or set FL_INSECURE=1)."
        )


def _returning(settings: Settings, known: Identity, state: State) -> Identity:
    if settings.name not in (None, known.name):
        raise Misconfigured(
            f"The state folder {state.folder} belongs to {known.name!r}. Give another --state for {settings.name!r}."
        )
    return replace(known, server=settings.server or known.server)


def _new(settings: Settings, known: Identity | None, state: State) -> Identity:
    """Not enrolled yet. A token that was saved may have reached the server already, so it is tried again."""
    server = settings.server or (known.server if known else "")
    join_code = settings.join_code or (known.join_code if known else "")
    name = settings.name or (known.name if known else machine_name())
    if not server:
        raise Misconfigured(WHICH_SERVER)
    if not join_code:
        raise Misconfigured(
            f"The state folder {state.folder} has no client yet. Give --join (or FL_JOIN_CODE) with the code of an "
            "invitation, or --state with the folder of a client that has joined."
        )
    same = known is not None and (known.server, known.name) == (server, name)
    token = known.token if known and same else secrets.token_hex(32)
    return Identity(server, name, token, join_code)


def machine_name() -> str:
    try:
        return client_name(platform.node())
    except ValueError:
        raise Misconfigured("Which name? Give --name (or FL_CLIENT_NAME).") from None
