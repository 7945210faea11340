import tracemalloc

import numpy as np
import pytest

from federation.fl import weights, workloads
from federation.fl.options import OptionError
from federation.fl.workloads import Data, Stopped, TrainConfig
from federation.fl.workloads.synthetic import BLOCK

synthetic = workloads.get("synthetic")
NO_DATA = synthetic.training_data({}, None)


def update(base, seed=1, data=NO_DATA, report=lambda *_: True):
    return synthetic.local_update(base, data, {}, TrainConfig(1, 32, 0.1, seed), report)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_the_model_has_as_many_parameters_as_asked_for(size, tmp_path):
    base = synthetic.initial_weights({"num_parameters": size}, 1)
    assert base["weight"].shape == (size,) and base["weight"].dtype == np.float32
    synthetic.write_initial(tmp_path / "w", {"num_parameters": size}, 1)
    assert (tmp_path / "w").read_bytes() == weights.dump(base)


@pytest.mark.parametrize("size", [0, -4, 2_000_000_001, 1.5, True, "10"])
def test_another_size_is_refused(size):
    with pytest.raises(OptionError, match="num_parameters of workload synthetic must be a whole number from 1 to"):
        synthetic.initial_weights({"num_parameters": size}, 1)


def test_a_large_model_is_written_in_flat_memory(tmp_path):
    tracemalloc.start()
    synthetic.write_initial(tmp_path / "w", {"num_parameters": 40 * BLOCK}, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * BLOCK * 4


def test_the_delta_is_small_noise_that_the_seed_decides():
    base = synthetic.initial_weights({}, 1)
    first, again, other = (update(base, seed).delta["weight"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == base["weight"].shape and first.dtype == np.float32
    assert abs(first.std() - 0.01) < 1e-4 and abs(first.mean()) < 1e-4


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_every_parameter_of_any_number_moves_a_little(size):
    delta = update({"w": np.zeros(size, np.float32)}).delta["w"]
    assert delta.shape == (size,) and (np.abs(delta) <= 0.01 * np.sqrt(3) * 1.001).all()
    assert np.count_nonzero(delta) >= 0.99 * size


def test_tensors_get_noise_of_their_own_and_integers_none():
    base = {"a": np.ones((3, 4), np.float64), "b": np.ones((3, 4), np.float64), "n": np.array(5, np.int64)}
    delta = update(base).delta
    assert delta["a"].shape == (3, 4) and delta["a"].dtype == np.float64
    assert not np.array_equal(delta["a"], delta["b"])
    assert delta["n"] == 0 and delta["n"].shape == () and delta["n"].dtype == np.int64


def test_a_client_without_data_counts_as_a_hundred_examples():
    base = synthetic.initial_weights({"num_parameters": 3}, 1)
    assert update(base).num_examples == 100
    assert update(base, data=Data(np.zeros((7, 1)), np.zeros(7, np.int64), ("a",))).num_examples == 7


def test_a_few_points_of_a_falling_loss_are_reported():
    points = []
    found = update({"w": np.zeros(1, np.float32)}, report=lambda *point: points.append(point) or True)
    assert [point[:3] for point in points] == [("training", step, 5) for step in range(1, 6)]
    losses = [point[3]["train_loss"] for point in points]
    assert losses == sorted(losses, reverse=True) and found.metrics == {"train_loss": losses[-1]}


def test_it_stops_when_it_is_told_to():
    with pytest.raises(Stopped):
        update({"w": np.zeros(1, np.float32)}, report=lambda *_: False)


def test_there_is_nothing_to_evaluate():
    assert synthetic.evaluate({"weight": np.zeros(1, np.float32)}, {}) == {}
