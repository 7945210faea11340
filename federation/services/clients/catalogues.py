"""What a client tells of the workloads that it has: its catalogue, checked at the door and kept as rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from federation.errors import Invalid
from federation.fl.workloads import WORKLOADS, declaration
from federation.fl.workloads.declaration import MOST_BYTES, MOST_ENTRIES, Declaration, DeclarationError
from federation.models import Client, ServedWorkload
from federation.services.info import Info

MEMBER = "catalogue"  # of info
WHERE = f"info.{MEMBER}"


def read(given: object) -> tuple[Declaration, ...]:
    """The entries that a client tells. Raises Invalid with each entry that is wrong, and the member in it."""
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MOST_ENTRIES:
        raise Invalid((WHERE, f"The catalogue must be a list of at most {MOST_ENTRIES} workloads."))
    if len(json.dumps(given)) > MOST_BYTES:
        raise Invalid((WHERE, f"The catalogue is larger than {MOST_BYTES} bytes."))
    return _entries(given)


def _entries(given: Sequence[Any]) -> tuple[Declaration, ...]:
    found: dict[str, Declaration] = {}
    wrong: list[tuple[str, str]] = []
    for place, told in enumerate(given):
        try:
            entry = declaration.from_json(told, f"Entry {place + 1} of the catalogue")
        except DeclarationError as error:
            wrong.append((f"{WHERE}[{place}]" + (f".{error.member}" if error.member else ""), str(error)))
            continue
        if entry.name in found:
            sentence = f"Entry {place + 1} of the catalogue: name is {entry.name!r}, like that of an earlier entry."
            wrong.append((f"{WHERE}[{place}].name", sentence))
        found[entry.name] = entry
    if wrong:
        raise Invalid(*wrong)
    return tuple(found.values())


def keep(client: Client, told: Info, catalogue: Sequence[Declaration]) -> None:
    """Write what a client said of each workload as a row, so that whoever opens a round reads no info.

    What it said before is replaced. The server's own declaration counts for what the server has. It may lose what is
    not built in: then what clients declare counts.
    """
    digests, examples = told.workloads or {}, told.examples or {}
    entries = {one.name: one for one in catalogue}
    rows = [
        _row(client, name, entries.get(name), digests.get(name), examples.get(name))
        for name in sorted({*digests, *examples, *entries})
    ]
    client.workloads.exclude(name__in=[row.name for row in rows]).delete()
    ServedWorkload.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["client", "name"],
        update_fields=["version", "digest", "num_examples", "declaration", "shape"],
    )


def _row(
    client: Client, name: str, entry: Declaration | None, digest: str | None, num_examples: int | None
) -> ServedWorkload:
    """digest, num_examples: what it said beside its catalogue, which comes first."""
    row = ServedWorkload(client=client, name=name, digest=digest or "", num_examples=num_examples)
    if entry is not None:
        row.version = entry.version
        row.digest = digest or entry.digest
        row.num_examples = entry.num_examples if num_examples is None else num_examples
        if name not in WORKLOADS.built_in:
            row.declaration = entry.to_json()
            row.shape = _shape(entry)
    return row


def _shape(entry: Declaration) -> str:
    """Tells whether two clients declare the same, so that nobody has to read a thousand declarations for it."""
    told = entry.to_json()
    about = [told[name] for name in ("options", "measures", "train_defaults")]
    return sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
