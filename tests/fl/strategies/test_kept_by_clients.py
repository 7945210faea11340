"""SCAFFOLD and FedDyn: the server's slot is the mean of what clients keep, and drift goes away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import weights
from federation.fl.client_state import ControlVariates, LinearTerm, Trained, in_float64, rule_of
from federation.fl.strategies import Launch, Unsuitable, build
from federation.fl.strategies.strategy import Updates
from tests.fl.strategies.playing import Rounds
from tests.properties import PROPERTY

RATE = 0.05
STRATEGIES = [("scaffold", {}, "c"), ("feddyn", {"alpha": 0.5}, "h")]
PLAIN = Launch(quorum=1)


class Site:
    """A client whose loss is curve / 2 * (w - best)^2 in each coordinate, so that its gradient is known exactly."""

    def __init__(self, curve, best):
        self.curve, self.best, self.own = curve, np.asarray(best, np.float64), {}

    def train(self, rule, config, base, sent, steps):
        """What the client sends; what it keeps is updated. Without a rule it is FedAvg's client."""
        correction = rule.correction(self.own, sent) if rule else {}
        w, mu = base.astype(np.float64), config.get("feddyn_alpha", 0.0)
        for _ in range(steps):
            w = w - RATE * (self.curve * (w - self.best) + correction.get("w", 0.0) + mu * (w - base))
        delta = {"w": w - base}
        if rule:
            self.own = rule.after(self.own, sent, Trained(delta, steps, RATE))
        return delta


class Session:
    def __init__(self, folder, strategy, options, sites):
        self.game = Rounds(folder, strategy, options).begin({"w": np.zeros(2)})
        self.config = build(strategy, options).client_config()
        self.rule, self.sites, self.seen = rule_of(self.config), sites, set()

    def slot(self, name):
        return weights.load(self.game.slots)[f"{name}/w"] if self.game.slots else None

    def play(self, asked, steps=10):
        sends = build(self.game.strategy, self.game.options).sends
        sent = {"w": self.slot(sends)} if sends and self.game.slots else {}
        base = self.game.arrays["w"]
        deltas = [self.sites[place].train(self.rule, self.config, base, sent, steps + place) for place in asked]
        self.seen |= set(asked)
        told = [{"local_steps": str(steps + place)} for place in asked]
        self.game.play(deltas, metadata=told, population=len(self.seen), learning_rate=RATE)

    @property
    def model(self):
        return self.game.arrays["w"]


def sites():
    return [Site(1.0, [1.0, 0.0]), Site(4.0, [-1.0, 2.0]), Site(0.5, [4.0, -1.0])]


OPTIMUM = np.array([1.0 - 4.0 + 2.0, 0.0 + 8.0 - 0.5]) / (1.0 + 4.0 + 0.5)  # of the sum of the three losses


# ---- by hand


def test_control_variates_by_hand():
    """c_i = 1, c = 3, a step of -0.6 in 2 steps of 0.1: c - c_i is 2, and c_i - c + 0.6 / 0.2 is 1."""
    rule, own, sent = ControlVariates(), {"w": np.array([1.0])}, {"w": np.array([3.0])}
    assert rule.correction(own, sent)["w"] == [2.0]
    assert rule.after(own, sent, Trained({"w": np.array([-0.6])}, 2, 0.1))["w"] == pytest.approx([1.0])
    assert rule.correction({}, sent)["w"] == [3.0] and rule.correction({}, {}) == {}


def test_the_linear_term_by_hand():
    rule = LinearTerm(0.5)
    assert rule.correction({"w": np.array([2.0])}, {})["w"] == [-2.0]
    assert rule.after({"w": np.array([2.0])}, {}, Trained({"w": np.array([3.0])}, 1, 0.1))["w"] == [0.5]


def test_the_first_round_of_scaffold_by_hand(tmp_path):
    """Deltas -1 and -3 in 10 and 20 steps of 0.1: the gradients 1 and 1.5, and so c = 1.25."""
    game = Rounds(tmp_path, "scaffold").begin({"w": np.zeros(1)})
    game.play(
        [{"w": np.array([-1.0])}, {"w": np.array([-3.0])}],
        metadata=[{"local_steps": "10"}, {"local_steps": "20"}],
        learning_rate=0.1,
    )
    assert game.arrays["w"] == [-2.0] and weights.load(game.slots)["c/w"] == pytest.approx([1.25])
    assert weights.load(game.slots)["scalar/population"] == 2


def test_the_first_round_of_feddyn_by_hand(tmp_path):
    """Deltas 1 and 3, alpha 0.5: h = -0.5 * 2 = -1, and the model moves by 2 + 1 / 0.5 = 4."""
    game = Rounds(tmp_path, "feddyn", {"alpha": 0.5}).begin({"w": np.zeros(1)})
    game.play([{"w": np.array([1.0])}, {"w": np.array([3.0])}])
    assert game.arrays["w"] == [4.0] and weights.load(game.slots)["h/w"] == [-1.0]


# ---- whoever is asked, and however many


@PROPERTY
@given(
    which=st.sampled_from(STRATEGIES),
    asked=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).map(sorted), max_size=6),
)
def test_the_slot_is_the_mean_of_what_all_clients_keep(tmp_path_factory, which, asked):
    name, options, slot = which
    session = Session(tmp_path_factory.mktemp("rounds"), name, options, sites())
    for some in asked:
        session.play(some)
        kept = [session.sites[place].own["w"] for place in session.seen]
        np.testing.assert_allclose(session.slot(slot), np.mean(kept, axis=0), atol=1e-9)


@pytest.mark.parametrize(("name", "options", "slot"), STRATEGIES)
def test_it_finds_the_optimum_that_plain_averages_miss(tmp_path, name, options, slot):
    plain = Session(tmp_path, "fedavg", {"weighting": "equal"}, sites())
    session = Session(tmp_path, name, options, sites())
    for _ in range(300):
        plain.play([0, 1, 2])
        session.play([0, 1, 2])
    assert np.abs(plain.model - OPTIMUM).max() > 0.1
    np.testing.assert_allclose(session.model, OPTIMUM, atol=1e-3)


# ---- what it refuses


@pytest.mark.parametrize("name", ["scaffold", "feddyn"])
@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"follows_settings": False}, "strategy.name", "needs a workload whose training follows"),
        ({"optimizer": "adam"}, "strategy.name", "Choose SGD without momentum"),
        ({"optimizer_options": {"momentum": 0.9}}, "strategy.name", "Choose SGD without momentum"),
        ({"proximal_mu": 0.1}, "local_options.proximal_mu", "Leave out the proximal term"),
        ({"clips": True}, "local_options.clip_norm", "Do not clip"),
        ({"compression": "int8"}, "compression.name", "Choose no compression"),
        ({"counts_late": True}, "strategy.name", "late ones dropped"),
    ],
)
def test_what_makes_both_sides_compute_differently_is_refused(name, change, field, words):
    found = build(name, {}).misfit(Launch(quorum=1, **change))
    assert found.field == field and words in found.sentence
    assert build(name, {}).misfit(PLAIN) is None


def updates(steps, staleness):
    return Updates(
        np.array([5, 5]), np.array(staleness), reduce=None, scalars={"population": 0.0},
        told=lambda name: np.array(steps), population=2, learning_rate=RATE,
    )  # fmt: skip


def test_updates_of_other_rounds_and_without_steps_are_refused():
    for name in ("scaffold", "feddyn"):
        with pytest.raises(Unsuitable, match="from an earlier model"):
            build(name, {}).prepare(updates([10.0, 10.0], [0, 1]))
    with pytest.raises(Unsuitable, match="SCAFFOLD needs local_steps of every client: 1 did not tell them"):
        build("scaffold", {}).prepare(updates([10.0, np.nan], [0, 0]))


def test_buffers_and_integers_are_not_kept():
    delta = {"w": np.float32([1]), "bn.running_mean": np.float32([2]), "ids": np.int64([3])}
    found = in_float64(delta, ["bn.running_mean"])
    assert list(found) == ["w"] and found["w"].dtype == np.float64
