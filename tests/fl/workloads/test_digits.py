import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.fl import aggregation, partition, sampling, strategies, weights, workloads
from federation.fl.workloads import Data, DataError, Stopped, TrainConfig, digit_images, training, workload
from tests.fl.networks import Small, batch_norm, batch_norm_without_statistics, drawing, linear

ROOT = Path(__file__).parents[3]
digits = workloads.get("digits")
SOME = np.arange(0, 1438, 12)  # 120 examples
QUICK = TrainConfig(epochs=2, batch_size=32, learning_rate=0.05, seed=7)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data():
    return digits.training_data({}, None).subset(SOME)


@pytest.fixture(scope="module")
def base():
    return digits.initial_weights({}, 1)


def go_on(*_):
    return True


def test_a_fifth_of_every_class_is_held_out_for_the_central_test():
    train, test = digit_images.load("train"), digit_images.load("test")
    assert len(train) + len(test) == 1797
    for label, count in test.histogram().items():
        assert abs(count - (count + train.histogram()[label]) / 5) <= 0.5
    assert not {row.tobytes() for row in train.features} & {row.tobytes() for row in test.features}


def test_images_are_single_channel_from_zero_to_one():
    data = digit_images.load("train")
    assert data.features.shape[1:] == (1, 8, 8) and data.features.dtype == np.float32
    assert data.features.min() == 0 and data.features.max() == 1 and data.labels.dtype == np.int64


def test_weights_are_named_like_a_state_dict(base):
    assert base["conv1.weight"].shape == (32, 1, 3, 3) and base["fc2.bias"].shape == (10,)


def test_base_and_delta_together_are_the_trained_model(base, data):
    found = digits.local_update(base, data, {}, QUICK, go_on)
    assert found.delta.keys() == base.keys()
    assert all(found.delta[name].shape == base[name].shape for name in base)
    assert all(found.delta[name].dtype == np.float32 for name in base)
    _, held_out = training.split(data, QUICK.validation_fraction)
    local = {name: base[name] + found.delta[name] for name in base}
    here = digits._measure(digits._network_with(local, "cpu"), held_out, "cpu")
    assert here.loss == pytest.approx(found.metrics["val_loss"], rel=1e-4)
    assert here.accuracy == found.metrics["val_accuracy"]


def test_the_received_weights_are_left_as_they_are(base, data):
    before = {name: array.copy() for name, array in base.items()}
    digits.local_update(base, data, {}, QUICK, go_on)
    assert all(np.array_equal(base[name], before[name]) for name in base)


def test_training_lowers_the_loss_and_reports_every_batch(base, data):
    points = []
    found = digits.local_update(base, data, {}, QUICK, lambda *point: points.append(point) or True)
    batches = 2 * -(-found.num_examples // 32)
    assert [point[:3] for point in points] == [
        ("evaluating", 0, batches),
        *[("training", step, batches) for step in range(1, batches + 1)],
        ("evaluating", batches, batches),
    ]
    assert all(set(point[3]) == {"train_loss"} for point in points[1:-1])
    assert points[0][3].keys() == {"base_val_loss", "base_val_accuracy"}
    assert points[-1][3].keys() == {"val_loss", "val_accuracy"}
    assert found.metrics == {**points[0][3], **points[-1][3], "train_loss": found.metrics["train_loss"]}
    assert found.metrics["val_loss"] < found.metrics["base_val_loss"]
    assert found.metrics["train_loss"] < points[1][3]["train_loss"]


def test_the_final_training_loss_is_the_mean_over_the_last_epochs_examples(base, data):
    config = TrainConfig(epochs=1, batch_size=32, learning_rate=0.05, seed=1)
    losses = []
    found = digits.local_update(
        base, data, {}, config, lambda phase, step, total, m: losses.append(m.get("train_loss")) or True
    )
    losses = losses[1:-1]
    sizes = [32] * (len(losses) - 1) + [found.num_examples - 32 * (len(losses) - 1)]
    assert found.metrics["train_loss"] == pytest.approx(np.average(losses, weights=sizes))


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_it_stops_as_soon_as_it_is_told_to(base, data, after):
    answers = iter([True] * after + [False])
    with pytest.raises(Stopped):
        digits.local_update(base, data, {}, QUICK, lambda *_: next(answers))


def test_the_callers_random_numbers_are_left_alone(base, data):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    digits.initial_weights({}, 3)
    digits.local_update(base, data, {}, QUICK, go_on)
    digits.evaluate(base, {})
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_seed_decides_the_order_of_examples(base, data):
    first, again, other = (
        digits.local_update(base, data, {}, TrainConfig(1, 16, 0.05, seed), go_on).delta for seed in (1, 1, 2)
    )
    assert weights.dump(first) == weights.dump(again) != weights.dump(other)


def test_a_seed_gives_the_same_update_in_every_process(base, data):
    code = """
import hashlib, numpy as np, torch
torch.set_num_threads(1)
from federation.fl import weights, workloads
from federation.fl.workloads import TrainConfig
digits = workloads.get("digits")
data = digits.training_data({}, None).subset(np.arange(0, 1438, 12))
config = TrainConfig(epochs=2, batch_size=32, learning_rate=0.05, seed=7)
update = digits.local_update(digits.initial_weights({}, 1), data, {}, config, lambda *_: True)
print(hashlib.sha256(weights.dump(update.delta)).hexdigest())
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    here = digits.local_update(base, data, {}, QUICK, go_on)
    assert ran.stdout.strip() == hashlib.sha256(weights.dump(here.delta)).hexdigest()


def test_without_any_example_there_is_nothing_to_train(base, data):
    with pytest.raises(ValueError, match="no example to train on"):
        digits.local_update(base, data.subset(np.arange(0)), {}, QUICK, go_on)


def test_a_single_example_is_trained_on_and_nothing_is_held_out(base, data):
    found = digits.local_update(base, data.subset(np.arange(1)), {}, QUICK, go_on)
    assert found.num_examples == 1 and set(found.metrics) == {"train_loss"}


def test_diverging_is_told_as_what_it_is(base, data):
    found = digits.local_update(base, data, {}, TrainConfig(2, 8, 1e30, 1), go_on)
    assert not np.isfinite(found.metrics["train_loss"])


# ---- the held-out part


def test_held_out_examples_are_about_the_fraction_and_never_trained_on(data):
    train, held_out = training.split(data, 0.2)
    assert len(train) + len(held_out) == len(data) and 0.1 < len(held_out) / len(data) < 0.3
    assert not {row.tobytes() for row in train.features} & {row.tobytes() for row in held_out.features}


def test_an_example_stays_on_its_side_when_data_are_added_or_shuffled(data):
    _, before = training.split(data.subset(np.arange(60)), 0.2)
    _, after = training.split(data.subset(np.random.default_rng(1).permutation(len(data))), 0.2)
    assert {row.tobytes() for row in before.features} <= {row.tobytes() for row in after.features}


def test_copies_of_an_example_are_never_on_both_sides(data):
    twice = Data(np.repeat(data.features, 2, axis=0), np.repeat(data.labels, 2), data.label_names)
    train, held_out = training.split(twice, 0.2)
    assert not {row.tobytes() for row in train.features} & {row.tobytes() for row in held_out.features}


def test_a_small_site_holds_one_out(data):
    for size in range(2, 9):
        train, held_out = training.split(data.subset(np.arange(size)), 0.001)
        assert (len(train), len(held_out)) == (size - 1, 1)


def test_nothing_is_held_out_where_nothing_is_wanted(data):
    train, held_out = training.split(data, 0.0)
    assert (len(train), len(held_out)) == (len(data), 0)


# ---- learning together


def test_an_untrained_model_guesses(base):
    found = digits.evaluate(base, {})
    assert found.keys() == {"loss", "accuracy"} and found["accuracy"] < 0.4 and found["loss"] > 1


def test_four_sites_with_skewed_labels_learn_within_four_rounds(tmp_path, seed=2):
    everything = digits.training_data({}, None)
    skewed = partition.parse("dirichlet:0.5")
    sites = [
        everything.subset(partition.shard_indices(everything.labels, skewed, shard=k, num_shards=4, seed=seed))
        for k in (1, 2, 3, 4)
    ]
    model = tmp_path / "model-0"
    digits.write_initial(model, {}, seed)
    for n in range(1, 5):
        updates = []
        for k, site in enumerate(sites):
            config = TrainConfig(**digits.train_defaults, seed=sampling.client_seed(seed, n, f"site-{k}"))
            found = digits.local_update(weights.load(model), site, {}, config, go_on)
            weights.save(tmp_path / f"u{k}", found.delta)
            updates.append(aggregation.UpdateFile(tmp_path / f"u{k}", found.num_examples))
        aggregation.aggregate(
            strategies.build("fedavg", {}),
            base=model,
            base_slots=None,
            updates=updates,
            out=tmp_path / f"model-{n}",
            out_slots=tmp_path / "none",
            on_block=lambda: None,
        )
        model = tmp_path / f"model-{n}"
    assert digits.evaluate(weights.load(model), {})["accuracy"] > 0.93


# ---- few examples


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.9, 0.999999])
def test_some_example_is_always_trained_on(size, fraction):
    data = digits.training_data({}, None)
    copies = data.subset(np.zeros(size, int))
    few = data.subset(np.arange(size))
    for given in (copies, few):
        train, held_out = training.split(given, fraction)
        assert len(train) and len(train) + len(held_out) == size
    assert not len(training.split(copies, fraction)[1])


def test_examples_are_ranked_once(monkeypatch):
    data = digits.training_data({}, None).subset(np.arange(50))
    training.split(data, 0.2)
    monkeypatch.setattr(workload, "_rank", None)
    assert len(training.split(data, 0.3)[0]) < 50


def train(num_examples, batch_size, network=batch_norm):
    small = Small(network, num_examples)
    config = TrainConfig(epochs=2, batch_size=batch_size, learning_rate=0.05, seed=1, validation_fraction=0.0)
    steps = []
    found = small.local_update(
        small.initial_weights({}, 1), small.training_data({}, None), {}, config,
        lambda phase, step, total, metrics: steps.append((step, total)) or True,
    )  # fmt: skip
    return found, steps


def test_a_last_batch_of_one_is_left_out_with_batch_norm_alone():
    found, steps = train(9, 4)
    assert steps == [(step, 4) for step in (1, 2, 3, 4)] and found.num_examples == 9
    assert found.delta["1.num_batches_tracked"].tolist() == 4
    assert train(9, 4, linear)[1][-1] == (6, 6) and train(10, 4)[1][-1] == (6, 6)


@pytest.mark.parametrize("num_examples, batch_size, needs", [(1, 4, "2 examples"), (5, 1, "a batch size of 2")])
def test_a_single_example_is_refused_with_batch_norm(num_examples, batch_size, needs):
    with pytest.raises(ValueError, match=f"cannot train on one example at a time: it needs .*{needs}"):
        train(num_examples, batch_size)
    assert train(num_examples, batch_size, linear)[1]


def held_out(count):
    """Data of which so many examples are held out at the fraction that is returned with it."""
    data = Small(linear, 40 + count).training_data({}, None)
    fraction = float(np.sort(data.ranks)[count - 1 : count + 1].mean())
    assert len(training.split(data, fraction)[1]) == count
    return data, TrainConfig(epochs=1, batch_size=8, learning_rate=0.1, seed=1, validation_fraction=fraction)


def test_one_held_out_example_is_not_measured_by_a_network_that_compares_examples():
    small = Small(batch_norm_without_statistics)
    base, (data, config) = small.initial_weights({}, 1), held_out(1)
    assert small.local_update(base, data, {}, config, go_on).metrics.keys() == {"train_loss"}
    with pytest.raises(DataError, match="cannot be measured on one example: it needs at least 2 held-out examples"):
        small.local_evaluation(base, data, {}, config, go_on)
    usual = Small(batch_norm)
    assert usual.local_evaluation(usual.initial_weights({}, 1), data, {}, config, go_on).num_examples == 1


@pytest.mark.parametrize("network, batches", [(batch_norm_without_statistics, [4, 9]), (linear, [4, 8, 9])])
def test_a_last_example_joins_the_batch_before_it(monkeypatch, network, batches):
    monkeypatch.setattr(training, "EVALUATION_BATCH", 4)
    small, seen = Small(network), []
    data, config = held_out(9)
    found = small.local_evaluation(
        small.initial_weights({}, 1), data, {}, config, lambda _, step, *more: seen.append(step) or True
    )
    assert (seen, found.num_examples) == (batches, 9)


def test_a_networks_own_error_on_one_example_stays_its_own(monkeypatch):
    def wrong(*_):
        raise ValueError("of the network")

    small = Small(linear)
    monkeypatch.setattr(torch.nn.Linear, "forward", wrong)
    with pytest.raises(ValueError, match="of the network"):
        small.local_evaluation(small.initial_weights({}, 1), *held_out(1)[:1], {}, held_out(1)[1], go_on)


def test_a_network_that_draws_trains_to_the_same_bytes_and_leaves_the_callers_generator_alone():
    torch = pytest.importorskip("torch")
    first = train(24, 4, drawing)[0]
    torch.rand(7)
    state = torch.get_rng_state()
    second = train(24, 4, drawing)[0]
    assert weights.dump(first.delta) == weights.dump(second.delta) and first.metrics == second.metrics
    assert torch.equal(state, torch.get_rng_state())
