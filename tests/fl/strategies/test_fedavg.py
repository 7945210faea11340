import platform

import numpy as np
import pytest

from federation.fl.strategies import Block, Plan
from federation.fl.strategies.fedavg import FedAvg
from federation.fl.strategies.strategy import weighted_sum


@pytest.fixture
def block():
    return Block("w", np.array([10.0, 10.0]), np.float32([[0, 4], [4, 0]]), {})


def test_the_step_is_the_mean_by_shares(block):
    new, slots = FedAvg().step(Plan(np.array([0.25, 0.75])), block)
    assert new.tolist() == [13, 11] and slots == {}


def test_the_server_learning_rate_scales_the_step(block):
    new, _ = FedAvg(server_lr=0.5).step(Plan(np.array([0.25, 0.75])), block)
    assert new.tolist() == [11.5, 10.5]


def test_sums_run_in_float64(block):
    assert block.weighted_sum(np.array([1.0, 1.0])).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("size", [1, 2, 17, 8193])
@pytest.mark.parametrize("updates", [1, 2, 9, 33, 200])
def test_updates_are_added_up_in_their_order(dtype, size, updates):
    rng = np.random.default_rng(updates)
    rows, share = (100 * rng.standard_normal((updates, size))).astype(dtype), rng.random(updates)
    total = np.zeros(size)
    for row, weight in zip(rows, share, strict=True):
        total = total + row.astype(np.float64) * weight
    summed = weighted_sum(rows, share)
    assert np.allclose(summed, total, rtol=1e-12, atol=1e-9)
    if platform.machine() in ("x86_64", "AMD64"):  # others may multiply and add in one step, with one rounding
        assert np.array_equal(summed, total)
