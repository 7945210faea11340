"""Digests, checksums and numbers in the headers of an upload."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from federation import parsing
from federation.errors import Invalid

TUS = {"Tus-Resumable": "1.0.0"}


DIGEST_FIELD = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


CHECKSUMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def sha256_in(headers: dict[str, str], name: str) -> str | None:
    """The hexadecimal SHA-256 in a digest field (RFC 9530). Other algorithms are not looked at."""
    match = DIGEST_FIELD.search(headers.get(name, ""))
    return _base64(match[1]).hex() if match else None


@dataclass(frozen=True, slots=True)
class Checksum:
    name: str
    value: bytes

    def algorithm(self) -> Hash:
        return CHECKSUMS[self.name]()


def parse_checksum(header: str) -> Checksum | None:
    """tus' Upload-Checksum: an algorithm and a digest in base64."""
    if not header:
        return None
    name, _, value = header.partition(" ")
    if name not in CHECKSUMS:
        raise Invalid(
            ("Upload-Checksum", f"The algorithm {parsing.shortened(name)} is not known; use {' or '.join(CHECKSUMS)}.")
        )
    return Checksum(name, _base64(value))


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # text that is not ASCII raises it, too
        raise Invalid(("digest", f"{text[:80]!r} is not base64.")) from None


def number_in(headers: dict[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    number = parsing.whole(value)
    if value and number is None:
        raise Invalid((name, f"{name} is {parsing.shortened(value)}; a whole number is needed."))
    return number
