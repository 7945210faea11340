"""Figures and small lines."""

import json

import pytest

from dashboard.kit import charts
from federation.models import GlobalModel
from federation.services.models import choosing


def model(
    version: int, accuracy: float | None = None, loss: float | None = None, by_clients: float | None = None
) -> GlobalModel:
    central = {name: value for name, value in (("accuracy", accuracy), ("loss", loss)) if value is not None}
    federated = {} if by_clients is None else {"accuracy": by_clients}
    return GlobalModel(version=version, metrics=central, federated_metrics=federated)


MODELS = [model(2, 0.8, 0.5), model(0, 0.1, 2.3, 0.12), model(1, 0.9, 0.6, 0.82)]


def test_the_global_figure_goes_by_version_whatever_the_order_of_rows() -> None:
    federated, central, best = charts.global_figures(MODELS)["accuracy"]["data"]
    assert (central["meta"], central["x"], central["y"]) == ("central", [0, 1, 2], [0.1, 0.9, 0.8])
    assert (federated["meta"], federated["x"], federated["y"]) == ("federated", [0, 1], [0.12, 0.82])
    assert (best["x"], best["y"], best["text"]) == ([1], [0.9], ["0.900"])


def test_the_best_loss_is_the_lowest() -> None:
    *_, best = charts.global_figures(MODELS)["loss"]["data"]
    assert (best["x"], best["y"]) == ([2], [0.5])


def test_figures_carry_no_colours() -> None:
    assert "color" not in json.dumps(charts.global_figures(MODELS))


def test_one_value_is_not_a_curve() -> None:
    assert charts.global_figures([model(0, 0.1)]) == {}
    assert charts.global_figures([]) == {}


@pytest.mark.parametrize(
    ("models", "version"),
    [
        (MODELS, 1),
        ([model(1, loss=0.7), model(2, loss=0.6)], 2),
        ([model(1, accuracy=None), model(2)], None),
        ([], None),
    ],
)
def test_the_best_model(models: list[GlobalModel], version: int | None) -> None:
    found = choosing.best(models)
    assert (found and found.version) == version


def test_the_best_by_the_clients_where_there_is_no_test_set() -> None:
    models = [model(version, by_clients=value) for version, value in enumerate((0.1, 0.6, 0.5))]
    best = choosing.best(models)
    assert best is not None and best.version == 1
    assert charts.value(best, "accuracy") == 0.6


def test_a_small_line_fills_its_height() -> None:
    assert charts.spark([3.0, 1.0, 2.0], width=10, height=24) == "0.0,2.0 5.0,22.0 10.0,12.0"
    assert charts.spark([1.0, 1.0], width=10) == "0.0,22.0 10.0,22.0"
    assert charts.spark([1.0]) == ""


def test_a_small_line_of_many_values_ends_with_the_last() -> None:
    points = charts.spark([float(n) for n in range(1000)]).split()
    assert len(points) <= charts.MOST_SPARK + 1
    assert points[-1] == "96.0,2.0"


def test_of_models_that_are_alike_every_page_names_the_same() -> None:
    models = [model(version, 0.9, loss) for version, loss in ((1, 0.5), (2, 0.4), (3, 0.4), (4, 0.6))]
    for order in (models, models[::-1]):
        best = choosing.best(order)
        assert best is not None and best.version == 3
        assert charts.global_figures(order)["accuracy"]["data"][-1]["x"] == [3]
