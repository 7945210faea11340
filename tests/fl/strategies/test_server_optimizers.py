"""The server's optimizers, with numbers that can be computed in the head."""

import math

import numpy as np
import pytest

from federation.fl import weights
from federation.fl.strategies import Block, Plan, build
from tests.fl.strategies.playing import Rounds

ONE = Plan(np.array([1.0]))


def block(delta, base=1.0, **slots):
    return Block("w", np.array([base]), np.float32([[delta]]), {name: np.array([v]) for name, v in slots.items()})


def test_momentum_by_hand():
    fedavgm = build("fedavgm", {"server_lr": 0.5, "momentum": 0.5})
    new, slots = fedavgm.step(ONE, block(4, m=2.0))
    assert slots["m"].tolist() == [5.0]  # 0.5 * 2 + 4
    assert new.tolist() == [3.5]  # 1 + 0.5 * 5


def test_adagrad_by_hand():
    new, slots = build("fedadagrad", {"server_lr": 1.0, "tau": 1.0}).step(ONE, block(3, m=9.0, v=7.0))
    assert slots["m"].tolist() == [3.0] and slots["v"].tolist() == [16.0]  # beta_1 = 0; 7 + 3^2
    assert new.tolist() == [1.6]  # 1 + 3 / (4 + 1)


@pytest.mark.parametrize("v, expected", [(5.0, 4.0), (3.0, 4.0), (4.0, 4.0)])
def test_yogi_moves_v_by_the_square_towards_the_square(v, expected):
    yogi = build("fedyogi", {"server_lr": 1.0, "beta_1": 0.5, "beta_2": 0.75, "tau": 1.0})
    new, slots = yogi.step(ONE, block(2, m=0.0, v=v))  # the square is 4, a quarter of it 1
    assert slots["v"].tolist() == [expected]
    assert new.tolist() == [1 + 1 / 3]  # m is 1


def test_yogi_begins_at_zero_like_adam():
    assert build("fedyogi", {"beta_2": 0.75}).step(ONE, block(2, m=0.0, v=0.0))[1]["v"].tolist() == [1.0]


def test_bias_correction_makes_the_first_step_of_adam_a_whole_one(tmp_path):
    game = Rounds(tmp_path, "fedadam", {"bias_correction": True, "server_lr": 1.0, "tau": 1e-12})
    game.begin({"w": np.float32([0.0])})
    for step, expected in ((1, 1.0), (2, 2.0), (3, 3.0)):  # equal updates: m and v cancel, whatever their memory
        game.play([{"w": np.float32([0.25])}])
        np.testing.assert_allclose(game.arrays["w"], [expected], rtol=1e-6)
        assert weights.load(game.slots)["scalar/step"].tolist() == step


def test_without_bias_correction_no_scalar_is_kept(tmp_path):
    game = Rounds(tmp_path, "fedadam").begin({"w": np.float32([0.0])})
    game.play([{"w": np.float32([0.25])}])
    assert set(weights.load(game.slots)) == {"m/w", "v/w"}


def test_bias_correction_is_the_formula_of_adam(tmp_path):
    game = Rounds(tmp_path, "fedadam", {"bias_correction": True}).begin({"w": np.float64([0.0])})
    w = m = v = 0.0
    for t, delta in enumerate((0.5, -0.25, 2.0), start=1):
        game.play([{"w": np.float64([delta])}])
        m, v = 0.9 * m + 0.1 * delta, 0.99 * v + 0.01 * delta**2
        w += 0.01 * math.sqrt(1 - 0.99**t) / (1 - 0.9**t) * m / (math.sqrt(v) + 1e-3)
        np.testing.assert_allclose(game.arrays["w"], [w], rtol=1e-12)


def test_a_scalar_that_is_not_there_is_refused(tmp_path):
    plain = Rounds(tmp_path, "fedadam").begin({"w": np.float32([0.0])})
    plain.play([{"w": np.float32([1.0])}])
    game = Rounds(tmp_path, "fedadam", {"bias_correction": True}, model=plain.model, slots=plain.slots)
    with pytest.raises(ValueError, match="scalar/step"):
        game.play([{"w": np.float32([1.0])}])


def test_expansion_follows_the_mean_further_the_more_updates_differ(tmp_path):
    game = Rounds(tmp_path, "fedexp", {"epsilon": 0.0}).begin({"w": np.float32([0, 0])})
    game.play([{"w": np.float32([2, 0])}, {"w": np.float32([0, 2])}] * 2)
    # The mean is (1, 1), its square 2; the mean of the squares 4: eta is 4 / (2 * 2), which is 1.
    assert game.arrays["w"].tolist() == [1, 1]
    updates = [{"w": np.float32([8 if k == row else 0 for k in range(4)])} for row in range(4)]
    game = Rounds(tmp_path, "fedexp", {"epsilon": 0.0}).begin({"w": np.float32([0] * 4)})
    game.play(updates, [1, 10, 100, 1000])  # the mean (2, 2, 2, 2), its square 16; squares 64: eta is 2
    assert game.arrays["w"].tolist() == [4, 4, 4, 4]


def test_expansion_has_a_limit_and_none_where_nothing_is_left(tmp_path):
    opposite = [{"w": np.float32([3.0])}, {"w": np.float32([-3.0])}]
    for options in ({"epsilon": 0.0}, {"epsilon": 1e-3}):
        game = Rounds(tmp_path, "fedexp", options).begin({"w": np.float32([1.0])})
        game.play(opposite)
        assert game.arrays["w"].tolist() == [1.0]
    nearly = [{"w": np.float32([3.0])}, {"w": np.float32([-2.0])}]  # mean 0.5; (9 + 4) / 2 / (2 * 0.25) is 13
    game = Rounds(tmp_path, "fedexp", {"epsilon": 0.0, "most": 4.0}).begin({"w": np.float32([1.0])})
    game.play(nearly)
    assert game.arrays["w"].tolist() == [3.0]


def test_integers_of_before_there_were_roles_are_a_mean_whatever_the_step(tmp_path):
    for strategy in ("fedavgm", "fedadagrad", "fedadam", "fedyogi", "fedexp"):
        game = Rounds(tmp_path, strategy).begin({"w": np.float32([0.0]), "n": np.array(5, np.int64)})
        game.play([{"w": np.float32([1.0]), "n": np.array(n, np.int64)} for n in (2, 6)])
        assert game.arrays["n"] == 9, strategy
