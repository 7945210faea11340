"""What holds for every strategy, whatever it computes, if it can do with one update."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.strategies import STRATEGIES, Launch, build
from tests.fl.strategies.playing import Rounds, noise
from tests.properties import PROPERTY

# Those that can do with one update; test_robust.py has the others.
EVERY = [(name, {}) for name in STRATEGIES if build(name, {}).misfit(Launch(quorum=1)) is None] + [
    ("fedadam", {"bias_correction": True}),
    ("fedavg", {"weighting": "equal"}),
    ("fedavg", {"weighting": "capped", "most_share": 0.4}),
]
STATEFUL = [(name, options) for name, options in EVERY if build(name, options).slots]

floats = st.floats(-10, 10, width=32)
deltas = st.lists(st.lists(floats, min_size=3, max_size=3), min_size=1, max_size=5)


def model(values=(1.0, -2.0, 0.5), count=7, var=(0.5, 0.25)):
    return {
        "w": np.float32(values),
        "ids": np.array(count, np.int64),
        "bn.running_var": np.float32(var),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rounds")


@pytest.mark.parametrize("strategy, options", EVERY)
def test_clients_that_did_not_move_change_nothing(folder, strategy, options):
    game = Rounds(folder, strategy, options, buffers=["bn.running_var"]).begin(model())
    still = {name: np.zeros_like(array) for name, array in model().items()}
    for _ in range(2):
        game.play([still] * 3, [1, 5, 10**12])
    assert {name: array.tobytes() for name, array in game.arrays.items()} == {
        name: array.tobytes() for name, array in model().items()
    }


@PROPERTY
@given(which=st.sampled_from(EVERY), delta=st.lists(floats, min_size=3, max_size=3), count=st.integers(1, 5))
def test_identical_clients_move_the_model_as_one_does(folder, which, delta, count):
    step = {"w": np.float32(delta), "ids": np.array(3, np.int64), "bn.running_var": np.float32([0.1, 0.2])}
    alone, together = (Rounds(folder, *which, buffers=["bn.running_var", "ids"]).begin(model()) for _ in range(2))
    alone.play([step])
    together.play([step] * count, list(range(1, count + 1)))
    for name, array in alone.arrays.items():
        np.testing.assert_allclose(together.arrays[name], array, rtol=3e-7, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("strategy, options", EVERY)
def test_the_order_of_clients_matters_by_rounding_at_most(folder, strategy, options):
    updates, examples = [{"w": noise(seed, 40)} for seed in (2, 3, 4, 5)], [5, 7, 11, 300]
    told = [{"local_steps": str(n + 3), "base_train_loss": str(0.5 + n)} for n in range(4)]
    found = []
    for order in permutations(range(4)):
        game = Rounds(folder, strategy, options).begin({"w": noise(1, 40)})
        game.play([updates[i] for i in order], [examples[i] for i in order], [told[i] for i in order])
        found.append(game.arrays["w"])
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy, options", STATEFUL)
def test_what_is_resumed_from_files_is_as_uninterrupted(folder, tmp_path, strategy, options):
    rounds = [[{"w": noise(10 * n + k, 30)} for k in range(3)] for n in range(4)]
    whole = Rounds(folder, strategy, options).begin({"w": noise(1, 30)})
    digests = [(made.digest, made.slots_digest) for made in (whole.play(one) for one in rounds)]

    before = Rounds(folder, strategy, options).begin({"w": noise(1, 30)})
    for one in rounds[:2]:
        before.play(one)
    after = Rounds(tmp_path, strategy, options, model=before.model, slots=before.slots)
    assert [(made.digest, made.slots_digest) for made in (after.play(one) for one in rounds[2:])] == digests[2:]


@PROPERTY
@given(which=st.sampled_from(EVERY), rows=deltas, counts=st.lists(st.integers(-5, 5), min_size=5, max_size=5))
def test_a_statistic_and_an_integer_stay_within_the_clients_values(folder, which, rows, counts):
    game = Rounds(folder, *which, buffers=["bn.running_var", "ids"]).begin(model())
    game.play(
        [
            {"w": np.float32(row), "ids": np.array(count, np.int64), "bn.running_var": np.float32([0.1 * k, 0.5])}
            for k, (row, count) in enumerate(zip(rows, counts, strict=False))
        ]
    )
    assert 7 + min(counts[: len(rows)]) <= game.arrays["ids"] <= 7 + max(counts[: len(rows)])
    low, high = np.float32(0.5), np.float32(0.5) + np.float32(0.1 * (len(rows) - 1))
    assert low <= game.arrays["bn.running_var"][0] <= high + 1e-6
    assert game.arrays["bn.running_var"][1] == np.float32(0.75)
