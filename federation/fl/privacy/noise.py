"""Gaussian noise that nobody can foretell, and that is the same when a round is made again.

It is made of ChaCha20, keyed by a session's secret and by everything that its round is made of. Equal files give equal
noise; noise of other files has nothing in common with it, so that no two models can be subtracted to cancel it.
Each coordinate has a place of its own in the stream, so that blocks and threads change nothing.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from federation.fl.weights import Array

KEY_BYTES = 32
BLOCK_BYTES, VALUE_BYTES = 64, 16  # of ChaCha20; of the stream for each coordinate: two uniform numbers
VALUES = BLOCK_BYTES // VALUE_BYTES
MOST_VALUES = 2**32 * VALUES  # of one tensor: the counter has 32 bits


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def derived(key: bytes, *parts: bytes) -> bytes:
    """Another key, for one purpose: HMAC-SHA256 over the parts, each with its length before it."""
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, message, sha256)


class Noise:
    """The noise of one round. digests: of everything that its model is made of, in any order."""

    def __init__(self, key: bytes, number: int, attempt: int, digests: Iterable[str]) -> None:
        parts = (f"{number}", f"{attempt}", *sorted(digests))
        self._key = derived(key, b"round", *(part.encode() for part in parts))

    def of_tensor(self, name: str, start: int, count: int) -> Array:
        """Standard normal values for a run of coordinates of a tensor, (count,) float64."""
        return _normal(derived(self._key, b"tensor", name.encode()), start, count)

    def of_count(self) -> float:
        """A standard normal value for the number of updates within the clip."""
        return float(_normal(derived(self._key, b"count"), 0, 1)[0])


def _normal(key: bytes, start: int, count: int) -> Array:
    """By Box and Muller 1958, the cosine alone."""
    assert start + count <= MOST_VALUES, "a tensor of more than 17 thousand million values"
    first, skipped = divmod(start, VALUES)
    nonce = first.to_bytes(4, "little") + bytes(12)  # a key is used for one tensor of one round alone
    stream = Cipher(ChaCha20(key, nonce), None).encryptor().update(bytes((skipped + count) * VALUE_BYTES))
    words = np.frombuffer(stream, "<u8").reshape(-1, 2)[skipped:] >> np.uint64(11)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 1.0) * 2.0**-53))  # of numbers in (0, 1]
    return np.asarray(radius * np.cos(words[:, 1] * (2 * np.pi * 2.0**-53)))
