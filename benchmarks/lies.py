"""What lying clients send, from what the honest ones do: for benchmarks of robust strategies.

Every liar knows all honest updates of its round, and all of them agree with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Delta = Mapping[str, NDArray[np.float32]]
Lie = Callable[[Sequence[Delta], Delta, int], Delta]  # (honest updates, what it would have sent, liars)
EXAMPLES = 10**12
FLIPPED = "label flip"  # the one that trains honestly, on other labels
CLAIMING = "10^12 examples"


def a_little_is_enough(honest: Sequence[Delta], own: Delta, liars: int) -> Delta:
    """ALIE, Baruch et al. 2019 (arXiv:1902.06156), algorithm 3: mean - z_max * deviation, coordinate by coordinate."""
    clients = len(honest) + liars
    needed = clients // 2 + 1 - liars
    z_max = NormalDist().inv_cdf((clients - liars - needed) / (clients - liars))
    return {name: _mean(honest, name) - z_max * np.std([one[name] for one in honest], axis=0) for name in own}


def inner_product(honest: Sequence[Delta], own: Delta, liars: int) -> Delta:
    """IPM, Xie et al. 2019 (arXiv:1903.03936): -epsilon * mean, just so much that a plain mean turns around."""
    epsilon = 1.25 * len(honest) / liars
    return {name: -epsilon * _mean(honest, name) for name in own}


def sign_flip(honest: Sequence[Delta], own: Delta, liars: int) -> Delta:
    """What it trained, the other way, and as long as all the others together."""
    return {name: -len(honest) * value for name, value in own.items()}


def mimic(honest: Sequence[Delta], own: Delta, liars: int) -> Delta:
    """Karimireddy et al. 2022 (arXiv:2006.09365), section 3.2: all liars send one honest client's update."""
    return honest[0]


def unchanged(honest: Sequence[Delta], own: Delta, liars: int) -> Delta:
    """What it trained."""
    return own


LIES: Mapping[str, Lie] = {
    "ALIE": a_little_is_enough,
    "IPM": inner_product,
    "sign flip": sign_flip,
    FLIPPED: unchanged,
    "mimic": mimic,
    CLAIMING: sign_flip,
}


def sent(lie: str, honest: Sequence[Delta], own: Delta, liars: int) -> Delta:
    """A liar's update, in float32."""
    return {name: np.float32(value) for name, value in LIES[lie](honest, own, liars).items()}


def _mean(honest: Sequence[Delta], name: str) -> NDArray[np.float64]:
    return np.asarray(np.mean([one[name] for one in honest], axis=0, dtype=np.float64))
