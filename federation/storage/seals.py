"""A second look at a large file that costs little more than reading it.

While the SHA-256 of a file is taken, so is a tag by GMAC (NIST SP 800-38D), under a key that this server makes of its
secret and of a number for each file. That is ten times as fast. The tag stays with the file as an extended attribute.
Whoever finds that the file still fits it knows that the file is what it was. A file without one, as on file systems
without such attributes, is looked at by its SHA-256.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from django.conf import settings

ATTRIBUTE = "user.federation.seal"
NONCE_BYTES = 16
ONE_USE = bytes(12)  # what tells a key's uses apart; each of these keys has one
LEAST_BYTES = 8 << 20  # the SHA-256 of a smaller file costs too little
CAN_SEAL = hasattr(os, "setxattr")


class Seal:
    """Is given a file's bytes, in order."""

    def __init__(self, nonce: bytes = b"") -> None:
        self._nonce = nonce or secrets.token_bytes(NONCE_BYTES)
        key = hmac.digest(settings.SECRET_KEY.encode(), b"the seal of a weight file" + self._nonce, "sha256")
        self._tag = Cipher(algorithms.AES256(key), modes.GCM(ONE_USE)).encryptor()

    def update(self, data: memoryview) -> None:
        self._tag.authenticate_additional_data(data)

    def finish(self, digest: str) -> bytes:
        """What to keep with the file: it fits the file's bytes and this digest alone."""
        self._tag.authenticate_additional_data(bytes.fromhex(digest))
        self._tag.finalize()
        return self._nonce + self._tag.tag


def begin(file: Path) -> Seal | None:
    """A seal for a file that is about to be read; None for one that does not need any."""
    return Seal() if CAN_SEAL and file.stat().st_size >= LEAST_BYTES else None


def attach(file: Path, seal: bytes) -> None:
    with suppress(OSError):  # a file system without attributes
        os.setxattr(file, ATTRIBUTE, seal)


def kept(file: Path) -> bytes:
    """A file's seal; empty if it has none."""
    with suppress(OSError, AttributeError):
        return os.getxattr(file, ATTRIBUTE)
    return b""


def again(seal: bytes) -> Seal:
    """To find whether bytes have this seal."""
    return Seal(seal[:NONCE_BYTES])
