"""Who takes part in a round, and each client's seed: drawn from names and numbers alone, never from ids."""

import hashlib
from collections.abc import Sequence

import numpy as np


def draw(names: Sequence[str], count: int, *, seed: int, round_number: int) -> list[str]:
    """``count`` of the names, without replacement, sorted; all of them where there are no more.

    The draw depends on the set of names, the session's seed and the round's number alone,
    so that a retried round asks the same clients if the same are free.
    """
    candidates = sorted(names)
    if count >= len(candidates):
        return candidates
    chosen = generator("draw", seed, round_number).permutation(len(candidates))[: max(0, count)]
    return [candidates[index] for index in sorted(chosen)]


def client_seed(session_seed: int, round_number: int, client_name: str, turn: int = 1) -> int:
    """The seed of one client's training in one round: 0 <= seed < 2**31. turn: its n-th training in this round."""
    more = () if turn == 1 else (turn,)  # what was drawn before there were turns stays as it was
    return _number("client", session_seed, round_number, client_name, *more) % 2**31


def further_seed(session_seed: int, version: int) -> int:
    """The seed of a session that trains a model of this version further: its rounds draw nothing a second time."""
    return _number("further", session_seed, version) % 2**31


def generator(*parts: str | int) -> np.random.RandomState:
    """A generator seeded from all the parts, the same on every machine.

    RandomState because its streams are frozen for good (NumPy's NEP 19), while those of
    Generator's methods may change with a release, and clients don't share one release.
    """
    return np.random.RandomState(_number(*parts) % 2**32)


def uniform(*parts: str | int) -> float:
    """A number from 0 up to 1, drawn from all the parts, the same on every machine."""
    return (_number(*parts) >> 203) / 2**53


def _number(*parts: str | int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest())
