"""Ditto at the server is FedAvg; what else it is happens at the clients (tests/clientagent/test_kept.py)."""

import pytest

from federation.fl.strategies import Launch, build
from tests.fl.strategies.playing import Rounds, noise


@pytest.mark.parametrize("options", [{}, {"weighting": "equal"}])
def test_the_shared_model_is_that_of_fedavg(tmp_path, options):
    rounds = [Rounds(tmp_path, name, options).begin({"w": noise(1, 40)}) for name in ("ditto", "fedavg")]
    for number in range(3):
        deltas = [{"w": noise(10 * number + client, 40)} for client in range(4)]
        for one in rounds:
            one.play(deltas, examples=[1, 2, 30, 4])
    ditto, fedavg = (one.arrays["w"].tobytes() for one in rounds)
    assert ditto == fedavg


@pytest.mark.parametrize(
    ("launch", "field"),
    [
        (Launch(2), None),
        (Launch(2, optimizer="adam", clips=True, compression="int8", counts_late=True), None),
        (Launch(2, follows_settings=False), "strategy.name"),
        (Launch(2, stays=True), "stays"),
    ],
)
def test_what_does_not_go_with_it_is_refused(launch, field):
    found = build("ditto", {}).misfit(launch)
    assert (found and found.field) == field
