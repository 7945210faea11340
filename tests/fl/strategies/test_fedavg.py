import numpy as np
import pytest

from federation.fl.strategies import Block, Plan
from federation.fl.strategies.fedavg import FedAvg


@pytest.fixture
def block():
    return Block("w", np.array([10.0, 10.0]), np.float32([[0, 4], [4, 0]]), {}, (1,))


def test_the_step_is_the_mean_by_shares(block):
    new, slots = FedAvg().step(Plan(np.array([0.25, 0.75])), block)
    assert new.tolist() == [13, 11] and slots == {}


def test_the_server_learning_rate_scales_the_step(block):
    new, _ = FedAvg(server_lr=0.5).step(Plan(np.array([0.25, 0.75])), block)
    assert new.tolist() == [11.5, 10.5]


def test_sums_run_in_float64(block):
    assert block.weighted_sum(np.array([1.0, 1.0])).dtype == np.float64
