"""`run.py sent`: every update that left this site, from the state folder. Nothing is asked of the server."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from clientagent.display import printable
from clientagent.errors import Misconfigured
from clientagent.identity import folder_of
from clientagent.ledger import Ledger, Sent
from clientagent.settings import Settings, client_name

HEADS = ("time", "session", "round", "kind", "digest", "bytes", "examples", "accepted")
NUMBERS = ("round", "bytes", "examples")


def run(arguments: Sequence[str]) -> int:
    """Print the table. Raises Misconfigured if there is no state folder."""
    parser = argparse.ArgumentParser(prog="run.py sent", description="List every update that left this site.")
    parser.add_argument("--state", metavar="DIR", type=Path, help="the state folder (default: by name)")
    parser.add_argument("--name", metavar="NAME", help="the client's name (default: the machine's)")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, with the whole digest")
    asked = parser.parse_args(arguments)
    state = asked.state or (Path(kept).expanduser() if (kept := os.environ.get("FL_CLIENT_STATE")) else None)
    folder = folder_of(Settings(state=state, name=_name(asked.name)))
    found = read(folder)
    if asked.json:
        for client, one in found:
            print(json.dumps(({"client": client} if client else {}) | one.to_json()))
    else:
        print(table(found) if found else f"Nothing has left this site yet, as far as {folder} knows.")
    return 0


def _name(given: str | None) -> str | None:
    """The client's name, from the flag or the environment. Raises Misconfigured."""
    text, source = (os.environ.get("FL_CLIENT_NAME"), "FL_CLIENT_NAME") if given is None else (given, "--name")
    try:
        return client_name(text) if text else None
    except ValueError as error:
        raise Misconfigured(f"{source} {text!r}: {error}.") from None


def read(folder: Path) -> list[tuple[str, Sent]]:
    """All that left, the oldest first. With the name of the folder's client where it holds several clients."""
    if not folder.is_dir():
        raise Misconfigured(f"There is no state folder {folder}. Give --state with the folder of a client.")
    try:
        several = [(each.name, Ledger(each)) for each in sorted(folder.iterdir()) if each.is_dir()]
        ledgers = [("", Ledger(folder)), *((name, one) for name, one in several if one.is_there)]
        found = [(client, one) for client, ledger in ledgers for one in ledger.entries()]
    except OSError as error:
        raise Misconfigured(f"The state folder {folder} cannot be read: {error.strerror}.") from error
    return sorted(found, key=lambda pair: pair[1].time)


def table(found: Sequence[tuple[str, Sent]]) -> str:
    """Columns under their heads. An update without the server's answer says so."""
    rows = [_row(client, one) for client, one in found]
    heads = (("client",) if any(client for client, _ in found) else ()) + HEADS
    shown = [heads, *(row[-len(heads) :] for row in rows)]
    widths = [max(len(row[n]) for row in shown) for n in range(len(heads))]
    return "\n".join(_line(heads, row, widths) for row in shown)


def _row(client: str, one: Sent) -> tuple[str, ...]:
    what = one.sending
    examples = "-" if what.num_examples is None else str(what.num_examples)
    number = "-" if what.kind == "initialise" else str(what.round)
    accepted = _clock(one.accepted) if one.accepted else "no answer"
    about = (_clock(one.time), what.session, number, what.kind, what.digest[:12], str(what.num_bytes), examples)
    return tuple(printable(text) for text in (client, *about, accepted))


def _line(heads: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.rjust(width) if head in NUMBERS else text.ljust(width)
        for head, text, width in zip(heads, row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _clock(time: str) -> str:
    """In this machine's zone."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return time
