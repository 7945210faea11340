"""A client's training follows the optimizer and the other settings that a session has."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from federation.fl import optimizers
from federation.fl.local_options import LocalOptions
from federation.fl.options import OptionError
from federation.fl.workloads import Data, DataError, TrainConfig, training
from federation.fl.workloads.stepping import Objective
from tests.fl.networks import Small, linear, points

WHOLE = TrainConfig(epochs=1, batch_size=64, learning_rate=0.1, seed=3, validation_fraction=0.0)
HALVES = replace(WHOLE, batch_size=12)


def trained(config, data=None, network=linear):
    """The deltas and the reported steps of a training."""
    small, steps = Small(network), []

    def report(phase, step, total, metrics):
        if phase == "training":
            steps.append((step, total))
        return True

    base = small.initial_weights({}, 1)
    update = small.local_update(base, data or points(24, seed=1), {}, config, report)
    return update.delta, steps


def gradients(data, base):
    """Of the mean loss at the base, by name."""
    network = linear()
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in base.items()})
    cross_entropy(network(torch.from_numpy(data.features)), torch.from_numpy(data.labels)).backward()
    return {name: one.grad.numpy() for name, one in network.named_parameters()}


def with_(config=WHOLE, **local):
    return replace(config, local=LocalOptions(**local))


def by(name, config=WHOLE, **options):
    return replace(config, optimizer=optimizers.build(name, options))


def close(one, other, tolerance=1e-6):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=tolerance, rtol=1e-5)


# ---- optimizers


def test_sgd_without_options_trains_as_it_always_did():
    """The loop of version 0.1.0, written out."""
    small, data = Small(linear), points(24, seed=1)
    base = small.initial_weights({}, 1)
    network = linear()
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in base.items()})
    old = torch.optim.SGD(network.parameters(), lr=0.1)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(3))
    for batch in torch.split(order, 12):
        old.zero_grad()
        outputs = network(torch.from_numpy(data.features)[batch])
        cross_entropy(outputs.float(), torch.from_numpy(data.labels)[batch], reduction="none").mean().backward()
        old.step()
    delta, _ = trained(HALVES)
    for name, tensor in network.state_dict().items():
        assert np.array_equal(delta[name] + base[name], tensor.numpy())


def test_momentum_repeats_the_last_step():
    """Two steps by hand: v = momentum v + g."""
    data = points(24, seed=1)
    twice = replace(WHOLE, epochs=2)
    base = Small(linear).initial_weights({}, 1)
    first = gradients(data, base)
    second = gradients(data, {name: base[name] - np.float32(0.1) * first[name] for name in base})
    expected = {name: -0.1 * first[name] - 0.1 * (0.9 * first[name] + second[name]) for name in base}
    close(trained(by("sgd", twice, momentum=0.9))[0], expected)


def test_nesterov_looks_ahead_and_needs_a_momentum():
    base, data = Small(linear).initial_weights({}, 1), points(24, seed=1)
    first = gradients(data, base)
    expected = {name: -0.1 * 1.9 * first[name] for name in base}  # g + momentum v, v = g
    close(trained(by("sgd", momentum=0.9, nesterov=True))[0], expected)
    close(trained(by("sgd", nesterov=True))[0], trained(WHOLE)[0])


def test_weight_decay_pulls_to_zero():
    base, data = Small(linear).initial_weights({}, 1), points(24, seed=1)
    first = gradients(data, base)
    close(
        trained(by("sgd", weight_decay=0.5))[0],
        {name: -0.1 * (first[name] + 0.5 * base[name]) for name in base},
    )
    decoupled = {name: -0.1 * (np.sign(first[name]) + 0.5 * base[name]) for name in base}
    close(trained(by("adamw", weight_decay=0.5))[0], decoupled, tolerance=1e-4)


def test_adams_first_step_has_the_length_of_the_learning_rate():
    delta, _ = trained(by("adam"))
    first = gradients(points(24, seed=1), Small(linear).initial_weights({}, 1))
    close(delta, {name: -0.1 * np.sign(first[name]) for name in first}, tolerance=1e-4)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_the_same_work_gives_the_same_bytes(name):
    config = by(name, replace(HALVES, epochs=2), weight_decay=0.01)
    one, other = trained(config)[0], trained(config)[0]
    assert all(one[key].tobytes() == other[key].tobytes() for key in one)


# ---- other settings


def test_steps_are_at_most_as_many_as_are_asked_for():
    delta, steps = trained(with_(replace(HALVES, epochs=5), max_steps=3))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert trained(with_(HALVES, max_steps=100))[1] == [(1, 2), (2, 2)]
    close(trained(with_(replace(HALVES, epochs=9), max_steps=2))[0], trained(HALVES)[0], tolerance=0)


def test_accumulated_batches_are_one_larger_batch():
    close(trained(with_(HALVES, accumulate=2))[0], trained(WHOLE)[0])


def test_batches_that_are_left_over_make_a_last_step():
    ten = with_(replace(WHOLE, batch_size=10), accumulate=2)  # batches of 10, 10 and 4
    whole, without = trained(ten)[0], trained(replace(ten, local=replace(ten.local, max_steps=2)))[0]
    assert all((whole[name] != without[name]).any() for name in whole)


def test_a_long_gradient_is_clipped():
    delta, _ = trained(with_(clip_norm=0.01))
    assert np.sqrt(sum((one**2).sum() for one in delta.values())) == pytest.approx(0.1 * 0.01, rel=1e-3)
    close(trained(with_(clip_norm=1e6))[0], trained(WHOLE)[0])


def test_the_proximal_term_is_the_papers():
    """The second step adds mu (w1 - w0) to the gradient; the first nothing."""
    base, data = Small(linear).initial_weights({}, 1), points(24, seed=1)
    first = gradients(data, base)
    moved = {name: -np.float32(0.1) * first[name] for name in base}
    second = gradients(data, {name: base[name] + moved[name] for name in base})
    expected = {name: moved[name] - 0.1 * (second[name] + 2.0 * moved[name]) for name in base}
    close(trained(with_(replace(WHOLE, epochs=2), proximal_mu=2.0))[0], expected)
    close(trained(with_(WHOLE, proximal_mu=2.0))[0], trained(WHOLE)[0], tolerance=0)


def objective(data, **local):
    small = Small(linear)
    return Objective(small.losses, data, replace(WHOLE, local=LocalOptions(**local)))


def test_smoothed_labels_are_torchs():
    data, outputs = points(10, seed=4), torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.from_numpy(data.labels)
    found = objective(data, label_smoothing=0.2)(outputs, labels)
    assert found.item() == pytest.approx(cross_entropy(outputs, labels, label_smoothing=0.2).item(), rel=1e-6)


def test_balanced_classes_are_torchs():
    data = points(30, seed=4).subset(np.array([0, 1, 3, 5, 7, 9, 11, 13]))  # one of class 0, seven of class 1
    outputs = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.from_numpy(data.labels)
    expected = cross_entropy(outputs, labels, weight=torch.tensor([8 / 2, 8 / 14])).item()
    assert objective(data, class_weights="balanced")(outputs, labels).item() == pytest.approx(expected, rel=1e-6)


def test_a_class_without_examples_has_no_weight():
    data = points(30, seed=4).subset(np.arange(1, 30, 2))
    found = objective(data, class_weights="balanced")(torch.zeros(15, 2), torch.from_numpy(data.labels))
    assert found.item() == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize("local", [{"label_smoothing": 0.1}, {"class_weights": "balanced"}])
def test_what_needs_classes_is_refused_where_there_are_none(local):
    numbers = Data(points(24, seed=1).features, np.linspace(0, 1, 24, dtype=np.float32), ())
    with pytest.raises(DataError, match=f"{next(iter(local))} needs labels that are classes"):
        trained(with_(**local), numbers)


def test_on_a_cpu_precision_and_compilation_change_nothing():
    close(trained(with_(precision="bfloat16", compile=True))[0], trained(WHOLE)[0], tolerance=0)


def test_a_diverging_loss_is_still_reported():
    delta, steps = trained(replace(by("sgd", weight_decay=10.0), learning_rate=1e38, epochs=3))
    assert len(steps) == 3 and not all(np.isfinite(one).all() for one in delta.values())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_steps": 0}, "max_steps of training must be a whole number from 1"),
        ({"clip_norm": 0}, "clip_norm of training must be a number above 0"),
        ({"accumulate": None}, "accumulate of training must be"),
        ({"label_smoothing": 1.0}, "label_smoothing of training must be"),
        ({"class_weights": "some"}, "one of none, balanced"),
        ({"precision": "float8"}, "one of float32, bfloat16"),
        ({"proximal_mu": -1}, "proximal_mu of training must be"),
        ({"compile": 1}, "compile of training must be true or false"),
        ({"dropout": 0.5}, "no option 'dropout'"),
    ],
)
def test_what_is_wrong_is_named(given, words):
    with pytest.raises(OptionError, match=words):
        LocalOptions.read(given)


def test_an_unknown_optimizer_is_named():
    with pytest.raises(OptionError, match="choose one of sgd, adam, adamw"):
        optimizers.build("lion", {})


def test_the_digest_covers_what_decides_the_training():
    names = {path.rpartition("/")[2] for path in training.SOURCES}
    assert {"training.py", "stepping.py", "local_options.py", "sgd.py", "adam.py", "adamw.py"} <= names


@pytest.mark.parametrize(("samples", "held"), [(0, 0), (1, 1), (5, 5), (23, 23), (24, 23), (1000, 23)])
def test_so_many_examples_are_held_out_as_a_site_wants(samples, held):
    train, held_out = training.split(points(24, seed=1), 0.2, samples)
    assert (len(train), len(held_out)) == (24 - held, held)


def test_copies_of_an_example_are_on_one_side():
    data = points(10, seed=1).subset(np.repeat(np.arange(10), 3))
    train, held_out = training.split(data, 0.2, 4)
    assert len(held_out) == 6 and not {row.tobytes() for row in train.features} & {
        r.tobytes() for r in held_out.features
    }


# ---- what a strategy may want to know


def told(config):
    small = Small(linear)
    return small.local_update(small.initial_weights({}, 1), points(24, seed=1), {}, config, lambda *_: True)


def test_steps_are_the_optimizers_and_not_the_batches():
    assert told(HALVES).local_steps == 2
    assert told(with_(HALVES, accumulate=2)).local_steps == 1
    assert told(replace(HALVES, epochs=3)).local_steps == 6
    assert told(with_(replace(HALVES, epochs=3), max_steps=5)).local_steps == 5


def test_the_loss_before_training_is_measured_only_where_it_is_asked_for():
    assert told(WHOLE).base_train_loss is None
    asked = told(replace(WHOLE, extra={"base_train_loss": 1.0}))
    assert asked.base_train_loss == pytest.approx(asked.metrics["train_loss"])  # one batch of all: the same
    close(asked.delta, told(WHOLE).delta, tolerance=0.0)
