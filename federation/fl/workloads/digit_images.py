"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8, inside the package, so that nothing is downloaded."""

from typing import Literal

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads.workload import Data

TEST_FRACTION = 0.2

Split = Literal["train", "test"]


def load(split: Split) -> Data:
    """One part of the images: features (n, 1, 8, 8) float32 from 0 to 1, labels 0 to 9.

    The same fifth of every class is held out as the central test set, whatever the session's seed.
    """
    from sklearn.datasets import load_digits  # takes a second: only where images are used

    digits = load_digits()
    features = (digits.images / 16).astype(np.float32)[:, np.newaxis]
    data = Data(features, digits.target.astype(np.int64), tuple("0123456789"))
    held_out = np.concatenate([_test_members(np.flatnonzero(data.labels == label)) for label in range(10)])
    return data.subset(np.flatnonzero(np.isin(np.arange(len(data)), held_out, invert=split == "train")))


def _test_members(members: Array) -> Array:
    shuffled = np.random.RandomState(0).permutation(members)
    return shuffled[: round(TEST_FRACTION * len(members))]
