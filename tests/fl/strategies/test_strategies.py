import pytest

from federation.fl.options import OptionError
from federation.fl.strategies import STRATEGIES, build

TOLD = {
    "ditto": {"ditto_lambda": 0.5},
    "fedprox": {"proximal_mu": 0.1},
    "feddyn": {"feddyn_alpha": 0.1},
    "scaffold": {"control_variates": 1.0},
}


def test_every_strategy_says_what_it_is_and_is_built_from_its_defaults():
    for name, strategy in STRATEGIES.items():
        assert strategy.name == name and strategy.title and strategy.summary.endswith(".")
        assert strategy.when.endswith(".") and strategy.when.count(". ") == 0
        assert build(name, {}) == strategy()
        assert build(name, {}).client_config() == asked(strategy) | TOLD.get(name, {})


def asked(strategy):
    """Clients are told which numbers are needed of them."""
    return dict.fromkeys(strategy.needs, 1.0)


def test_declared_defaults_are_the_classes_own():
    for name, strategy in STRATEGIES.items():
        assert build(name, {option.name: option.default for option in strategy.options}) == strategy()


def test_an_unknown_strategy_is_refused_with_those_there_are():
    with pytest.raises(OptionError, match="choose one of " + ", ".join(STRATEGIES)) as refusal:
        build("guess", {})
    assert refusal.value.field == "name"


@pytest.mark.parametrize(
    "name, options, field",
    [
        ("fedavg", {"server_lr": 0}, "server_lr"),
        ("fedavg", {"momentum": 1}, "momentum"),
        ("fedmedian", {"server_lr": 1.0}, "server_lr"),
        ("fedadam", {"beta_1": 1.0}, "beta_1"),
        ("fedadam", {"tau": 0.0}, "tau"),
        ("fedadam", {"server_lr": "fast"}, "server_lr"),
        ("fedadam", {"bias_correction": 1}, "bias_correction"),
        ("fedavg", {"weighting": "loudest"}, "weighting"),
        ("fedavg", {"most_share": 0.0}, "most_share"),
        ("fedavgm", {"momentum": 1.0}, "momentum"),
        ("fedadagrad", {"beta_2": 0.9}, "beta_2"),
        ("fedyogi", {"tau": 0.0}, "tau"),
        ("fedexp", {"most": 0.5}, "most"),
        ("fednova", {"server_lr": 0}, "server_lr"),
        ("fedprox", {"mu": 0.0}, "mu"),
        ("qfedavg", {"q": -1}, "q"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(name, options, field):
    with pytest.raises(OptionError) as refusal:
        build(name, options)
    assert refusal.value.field == field


def beyond(option):
    """Values just outside of what an option says of itself."""
    if option.choices:
        yield from (f"not {option.choices[0]}", None)
    if option.minimum is not None:
        yield option.minimum if option.exclusive_minimum else option.minimum - 1
    if option.maximum is not None:
        yield option.maximum + 1
    yield []


BEYOND = [
    (name, option, value)
    for name, strategy in STRATEGIES.items()
    for option in strategy.options
    for value in beyond(option)
]


@pytest.mark.parametrize("name, option, value", BEYOND, ids=[f"{name}.{one.name}={x}" for name, one, x in BEYOND])
def test_every_option_refuses_what_it_does_not_allow(name, option, value):
    with pytest.raises(OptionError, match=f"^{option.name} of strategy {name} must be ") as refusal:
        build(name, {option.name: value})
    assert refusal.value.field == option.name


def test_every_number_among_the_options_has_limits():
    options = [option for strategy in STRATEGIES.values() for option in strategy.options]
    numbers = [option for option in options if option.kind in (int, float)]
    assert numbers and all(option.minimum is not None and option.maximum is not None for option in numbers)
