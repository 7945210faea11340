"""Each thing that does not go together with differential privacy, and that it is said."""

import pytest

from federation.fl.privacy.fitting import Beside, misfit
from federation.fl.strategies import STRATEGIES, build

EQUAL = {name: {"weighting": "equal"} for name in ("ditto", "fedavg", "fedavgm", "fedprox")}
REFUSED = [name for name, strategy in STRATEGIES.items() if not strategy.sees_mean_alone]


def beside(strategy="fedavg", options=None, **changes):
    given = EQUAL.get(strategy, {}) if options is None else options
    return Beside(**{"strategy": build(strategy, given), "selection": "random", "quorum": 3} | changes)


@pytest.mark.parametrize("strategy", ["ditto", "fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi", "fedprox"])
def test_means_and_server_optimizers_go_together_with_it(strategy):
    assert misfit(beside(strategy)) is None


@pytest.mark.parametrize("strategy", REFUSED)
def test_what_looks_at_single_updates_does_not(strategy):
    found = misfit(beside(strategy))
    assert found is not None and found.field == "strategy.name"
    assert STRATEGIES[strategy].title in found.sentence and "Choose one of: FedAvg, " in found.sentence


def test_medians_scaffold_and_their_like_are_among_the_refused():
    assert {"fedmedian", "scaffold", "feddyn", "krum", "qfedavg", "fednova", "fedexp"} <= set(REFUSED)


@pytest.mark.parametrize("strategy", sorted(EQUAL))
@pytest.mark.parametrize("weighting", ["examples", "capped"])
def test_clients_must_count_the_same(strategy, weighting):
    found = misfit(beside(strategy, {"weighting": weighting}))
    assert found is not None and found.field == "strategy.options.weighting" and "Choose equal." in found.sentence


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"one_cohort": False}, "schedule.name"),
        ({"counts_late": True}, "late_policy"),
        ({"selection": "power_of_choice"}, "selection.name"),
        ({"selection": "poisson"}, "quorum"),
    ],
)
def test_what_breaks_the_count_is_refused(changes, field):
    found = misfit(beside(**changes))
    assert found is not None and found.field == field and found.sentence.endswith(".")


@pytest.mark.parametrize("selection", ["random", "by_tag", "round_robin"])
def test_choices_that_see_no_data_go_together_with_it(selection):
    assert misfit(beside(selection=selection)) is None


def test_poisson_does_with_a_quorum_of_one():
    assert misfit(beside(selection="poisson", quorum=1)) is None
