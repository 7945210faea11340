"""The base of workloads outside the product: one's own network, loss, options and measures."""

from dataclasses import replace

import numpy as np
import pytest

from federation.fl.options import OptionError
from federation.fl.workloads import Data, TrainConfig, foreign
from federation.fl.workloads.foreign import Place
from federation.fl.workloads.own import OwnWorkload
from tests.fl.workloads.own_files import write_lines

torch = pytest.importorskip("torch")
CONFIG = TrainConfig(epochs=3, batch_size=16, learning_rate=0.1, seed=5)


class Colours(OwnWorkload):
    """Which of three inputs is the largest."""

    name = "colours"

    def model(self, options):
        return torch.nn.Linear(3, 3)

    def data(self, options, folder):
        features = np.random.default_rng(1).uniform(size=(90, 3)).astype(np.float32)
        return Data(features, features.argmax(axis=1), ("red", "green", "blue"))

    def loss(self, outputs, labels):
        return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return foreign.load(Place(str(write_lines(tmp_path_factory.mktemp("own"))))).workload


def go_on(*_: object) -> bool:
    return True


def test_options_reach_the_network(lines):
    assert lines.initial_weights({}, 1)["0.weight"].shape == (4, 1)
    assert lines.initial_weights({"width": 9}, 1)["0.weight"].shape == (9, 1)
    assert lines.buffers({"width": 9}) == ()
    with pytest.raises(OptionError, match="width of workload lines must be a whole number from 1 to 64, not 0"):
        lines.initial_weights({"width": 0}, 1)


def test_training_reports_its_own_measures_and_gives_the_same_bytes_again(lines):
    points = []

    def report(phase, step, total, metrics):
        points.append((phase, step, dict(metrics)))
        return True

    base, data = lines.initial_weights({"width": 9}, 1), lines.training_data({}, None)
    update = lines.local_update(base, data, {"width": 9}, CONFIG, report)
    assert update.metrics["val_loss"] < update.metrics["base_val_loss"]
    assert update.metrics["val_mae"] < update.metrics["base_val_mae"] and "val_accuracy" not in update.metrics
    assert points[0][0] == "evaluating" and points[0][2].keys() == {"base_val_loss", "base_val_mae"}
    again = lines.local_update(base, data, {"width": 9}, CONFIG, go_on)
    assert all(np.array_equal(update.delta[name], again.delta[name]) for name in base)


def test_a_model_is_measured_on_the_test_set_and_at_a_site(lines):
    model = lines.initial_weights({}, 1)
    central = lines.evaluate(model, {})
    assert central.keys() == {"loss", "mae"}
    found = lines.local_evaluation(model, lines.training_data({}, None), {}, CONFIG, go_on)
    assert found.metrics.keys() == {"loss", "mae"} and 0 < found.num_examples < 200 and found.counts == {}


def test_without_a_test_set_there_are_no_central_numbers():
    assert Colours().evaluate(Colours().initial_weights({}, 1), {}) == {}


def test_whole_number_labels_have_accuracy_and_named_ones_a_confusion_matrix():
    colours = Colours()
    data = colours.training_data({}, None)
    found = colours.local_evaluation(colours.initial_weights({}, 1), data, {}, CONFIG, go_on)
    matrix = np.array(found.counts["confusion"])
    assert matrix.shape == (3, 3) and matrix.sum() == found.num_examples
    assert found.metrics["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())


def test_a_loss_that_is_a_mean_is_said():
    class Mean(Colours):
        def loss(self, outputs, labels):
            return torch.nn.functional.cross_entropy(outputs, labels)

    with pytest.raises(ValueError, match=r"loss gave the shape \(\) for \d+ examples: use reduction='none'"):
        Mean().local_update(Mean().initial_weights({}, 1), Mean().training_data({}, None), {}, CONFIG, go_on)


def test_the_loss_of_a_sequence_is_its_mean():
    class Pairs(Colours):
        def loss(self, outputs, labels):
            return super().loss(outputs, labels)[:, None] * torch.tensor([1.0, 3.0])

    base, data = Colours().initial_weights({}, 1), Colours().training_data({}, None)
    once = Colours().local_evaluation(base, data, {}, CONFIG, go_on).metrics["loss"]
    assert Pairs().local_evaluation(base, data, {}, CONFIG, go_on).metrics["loss"] == pytest.approx(2 * once)


def test_it_stops_when_it_is_told_to():
    from federation.fl.workloads import Stopped

    base, data = Colours().initial_weights({}, 1), Colours().training_data({}, None)
    with pytest.raises(Stopped):
        Colours().local_update(base, data, {}, replace(CONFIG, validation_fraction=0.0), lambda *_: False)
    with pytest.raises(Stopped):
        Colours().local_evaluation(base, data, {}, CONFIG, lambda *_: False)
