"""The engine: files in, files out, whatever the strategy."""

import hashlib
import math
import os
import tracemalloc
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest

from federation.fl import aggregation, parallel, weights
from federation.fl.aggregation import AggregationError, UpdateFile
from federation.fl.files import streams
from federation.fl.files.streams import BLOCK
from federation.fl.strategies import Plan, build


@pytest.fixture
def aggregate(tmp_path):
    """aggregate(base, updates, ...) on arrays: the new model, its slots, and what was told about them."""

    def aggregate(base, deltas, examples=None, strategy="fedavg", options=None, slots=None, **more):
        weights.save(tmp_path / "base", base)
        examples = examples or [1] * len(deltas)
        files = []
        for seat, (delta, count) in enumerate(zip(deltas, examples, strict=True)):
            weights.save(tmp_path / f"update-{seat}", delta, {"num_examples": str(count)})
            files.append(UpdateFile(tmp_path / f"update-{seat}", count))
        told = aggregation.aggregate(
            build(strategy, options or {}) if isinstance(strategy, str) else strategy,
            base=tmp_path / "base",
            base_slots=slots,
            updates=files,
            out=tmp_path / "out",
            out_slots=tmp_path / "out-slots",
            **{"on_block": lambda: None} | more,
        )
        return weights.load(tmp_path / "out"), told

    return aggregate


def noise(seed, size, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)


def float64_mean(base, deltas, examples):
    """FedAvg in float64, rounded once."""
    total = sum(examples)
    step = sum(n / total * delta.astype(np.float64) for n, delta in zip(examples, deltas, strict=True))
    return (base.astype(np.float64) + step).astype(np.float32)


def ulps(a, b):
    spacing = np.spacing(np.maximum(np.abs(a), np.abs(b))).astype(np.float64)
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)) / spacing))


# ---- the arithmetic


def test_clients_count_by_their_examples(aggregate):
    base = {"w": np.float32([10, 10])}
    new, _ = aggregate(base, [{"w": np.float32([0, 4])}, {"w": np.float32([4, 0])}], [1, 3])
    np.testing.assert_array_equal(new["w"], np.float32([13, 11]))


def test_identical_clients_move_the_model_as_one_does(aggregate):
    base, delta = {"w": noise(1, 1000)}, {"w": noise(2, 1000)}
    alone, _ = aggregate(base, [delta])
    together, _ = aggregate(base, [delta] * 4, [8, 4, 2, 2])
    np.testing.assert_array_equal(alone["w"], together["w"])


def test_clients_that_did_not_move_change_no_byte(aggregate, tmp_path):
    base = {"w": noise(1, 70_000), "h": noise(2, 9).astype(np.float16), "n": np.array(3, np.int64)}
    still = {name: np.zeros_like(array) for name, array in base.items()}
    for strategy in ("fedavg", "fedmedian", "fedadam"):
        aggregate(base, [still, still, still], strategy=strategy)
        assert (tmp_path / "out").read_bytes() == (tmp_path / "base").read_bytes()


def test_scaling_all_examples_changes_nothing(aggregate):
    base, deltas = {"w": noise(1, 500)}, [{"w": noise(seed, 500)} for seed in (2, 3, 4)]
    few, _ = aggregate(base, deltas, [1, 2, 5])
    many, _ = aggregate(base, deltas, [10**11, 2 * 10**11, 5 * 10**11])
    np.testing.assert_array_equal(few["w"], many["w"])


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian", "fedadam"])
def test_the_order_of_clients_matters_by_rounding_at_most(aggregate, strategy):
    base, deltas, examples = {"w": noise(1, 400)}, [{"w": noise(s, 400)} for s in (2, 3, 4)], [5, 7, 11]
    results = []
    for order in permutations(range(3)):
        new, _ = aggregate(base, [deltas[i] for i in order], [examples[i] for i in order], strategy=strategy)
        results.append(new["w"])
    assert max(ulps(results[0], other) for other in results[1:]) <= 1


@pytest.mark.parametrize("name", ["base", "update-1"])
def test_a_file_that_is_cut_off_while_it_is_read_leaves_nothing(aggregate, monkeypatch, tmp_path, name):
    monkeypatch.setattr(parallel, "threads", lambda: 1)
    base, deltas = {"w": noise(1, 20 * BLOCK)}, [{"w": noise(seed, 20 * BLOCK)} for seed in (2, 3)]
    file = tmp_path / name

    def cut():
        os.truncate(file, file.stat().st_size // 2)

    with pytest.raises(AggregationError, match="cut off while it was read"):
        aggregate(base, deltas, on_block=cut)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian", "fedadam"])
def test_the_number_of_threads_changes_nothing(aggregate, monkeypatch, strategy):
    base = {"w": noise(1, 9 * BLOCK + 5), "n": np.array(3, np.int64)}
    deltas = [{"w": noise(seed, 9 * BLOCK + 5), "n": np.array(seed, np.int64)} for seed in (2, 3, 4)]
    told = []
    for count in (1, 2, 5):
        monkeypatch.setattr(parallel, "threads", lambda count=count: count)
        told.append(aggregate(base, deltas, [3, 5, 9], strategy=strategy)[1])
    assert told[0] == told[1] == told[2]


def test_the_same_files_give_the_same_bytes(aggregate):
    base, deltas = {"w": noise(1, BLOCK + 5)}, [{"w": noise(seed, BLOCK + 5)} for seed in (2, 3, 4)]
    first, second = (aggregate(base, deltas, [3, 5, 9])[1] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("num_clients", [1, 2, 3, 10])
def test_it_is_float64_rounded_once_over_several_blocks(aggregate, num_clients):
    size = 2 * BLOCK + 77
    base, deltas = noise(1, size), [noise(seed, size, 0.1) for seed in range(2, 2 + num_clients)]
    examples = [17 * k + 3 for k in range(num_clients)]
    new, _ = aggregate({"w": base}, [{"w": delta} for delta in deltas], examples)
    assert ulps(new["w"], float64_mean(base, deltas, examples)) <= 1


def test_nothing_is_lost_where_base_and_step_cancel(aggregate):
    base = np.float32([1, 3, 1e8])
    delta = np.nextafter(-base, np.float32(0))  # one float32 step short of cancelling
    new, _ = aggregate({"w": base}, [{"w": delta}] * 3, [1, 1, 1])
    assert ulps(new["w"], (base.astype(np.float64) + delta).astype(np.float32)) <= 1


def test_many_small_clients_are_not_drowned_by_rounding(aggregate):
    deltas = [{"w": np.float32([1])}] + [{"w": np.float32([2**-25])}] * 255
    new, _ = aggregate({"w": np.float32([0])}, deltas)
    assert new["w"][0] == np.float32((1 + 255 * 2**-25) / 256)  # a float32 sum would stay at 1


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_every_coordinate_is_written_whatever_the_blocks(aggregate, size):
    new, _ = aggregate({"w": np.zeros(size, np.float32)}, [{"w": np.arange(size, dtype=np.float32)}])
    np.testing.assert_array_equal(new["w"], np.arange(size, dtype=np.float32))


def test_tensors_keep_names_shapes_and_dtypes(aggregate):
    base = {
        "z.weight": noise(1, (3, 4, 5)),
        "a.bias": np.array(0.5, np.float32),
        "none": np.empty((0, 3), np.float32),
        "double": np.array([[1e-300]]),
        "n": np.array([[1, 2]], np.int32),
    }
    new, _ = aggregate(base, [{name: np.ones_like(array) for name, array in base.items()}])
    for name, array in base.items():
        assert new[name].dtype == array.dtype and new[name].shape == array.shape
        np.testing.assert_allclose(new[name], array + 1)


def test_updates_may_hold_their_tensors_in_another_order(aggregate, tmp_path):
    base = {"a": np.float32([1]), "b": np.float32([2, 3])}
    weights.save(tmp_path / "base", base)
    text = (
        b'{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}'
    )
    (tmp_path / "u").write_bytes(len(text).to_bytes(8, "little") + text + np.float32([10, 20, 30]).tobytes())
    aggregation.aggregate(
        build("fedavg", {}),
        base=tmp_path / "base",
        base_slots=None,
        updates=[UpdateFile(tmp_path / "u", 1)],
        out=tmp_path / "out",
        out_slots=tmp_path / "slots",
        on_block=lambda: None,
    )
    new = weights.load(tmp_path / "out")
    assert new["a"].tolist() == [31] and new["b"].tolist() == [12, 23]


# ---- other floats


def test_float64_tensors_are_computed_in_full(aggregate):
    new, _ = aggregate({"w": np.array([1.0])}, [{"w": np.array([1e-15])}, {"w": np.array([3e-15])}])
    assert new["w"][0] == 1.0 + 2e-15


def test_half_precision_is_summed_in_float64_and_rounded_once(aggregate):
    base, delta = np.float16([1, 2048]), np.float16([2**-11, 1])
    new, _ = aggregate({"w": base}, [{"w": delta}] * 3, [1, 1, 1])
    expected = (base.astype(np.float64) + delta.astype(np.float64)).astype(np.float16)
    np.testing.assert_array_equal(new["w"], expected)


def test_bfloat16_is_decoded_summed_and_rounded_once(aggregate):
    values = np.array([1.0, -2.0, 0.5, 256.0])
    base = weights.float64_to_bfloat16(values)
    deltas = [{"w": weights.float64_to_bfloat16(values * k)} for k in (1, 3)]
    new, _ = aggregate({"w": base}, deltas, [1, 1])
    np.testing.assert_array_equal(weights.bfloat16_to_float32(new["w"]), values * 3)


def test_bfloat16_with_slots_works_too(aggregate, tmp_path):
    base = weights.float64_to_bfloat16(np.array([1.0, 2.0]))
    aggregate({"w": base}, [{"w": base}], strategy="fedadam")
    slots = weights.load(tmp_path / "out-slots")
    np.testing.assert_allclose(slots["m/w"], [0.1, 0.2])


# ---- integers


def test_integers_move_by_the_weighted_mean_rounded_half_to_even(aggregate):
    base = {"n": np.int64([10, 10, 10]), "m": np.int32([-1, 0, 5])}
    low = {"n": np.int64([0, 1, 0]), "m": np.int32([-1, 0, 0])}
    high = {"n": np.int64([1, 2, 4]), "m": np.int32([0, 1, -3])}
    new, _ = aggregate(base, [low, high], [1, 1])
    assert new["n"].tolist() == [10, 12, 12]  # 0.5 -> 0, 1.5 -> 2, 2
    assert new["m"].tolist() == [-1, 0, 3]  # -0.5 -> 0, 0.5 -> 0, -1.5 -> -2


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian", "fedadam"])
def test_a_counter_without_dimensions_counts_on(aggregate, tmp_path, strategy):
    base = {"num_batches_tracked": np.array(100, np.int64), "w": np.float32([0])}
    deltas = [{"num_batches_tracked": np.array(n, np.int64), "w": np.float32([0])} for n in (4, 8)]
    new, _ = aggregate(base, deltas, [3, 1], strategy=strategy)
    assert new["num_batches_tracked"].shape == () and new["num_batches_tracked"] == 105
    if strategy == "fedadam":
        assert set(weights.load(tmp_path / "out-slots")) == {"m/w", "v/w"}


def test_a_large_integer_base_keeps_every_digit(aggregate):
    new, _ = aggregate({"n": np.int64([2**62 + 1])}, [{"n": np.int64([2])}, {"n": np.int64([4])}])
    assert new["n"].tolist() == [2**62 + 4]


@pytest.mark.parametrize(
    "base, delta",
    [
        (np.int64([2**63 - 1]), np.int64([1])),
        (np.int64([-(2**63)]), np.int64([-1])),
        (np.int64([0]), np.int64([2**63 - 1])),  # is 2^63 in float64
        (np.int32([2**31 - 1]), np.int32([1])),
        (np.int32([-(2**31)]), np.int32([-1])),
    ],
)
def test_an_integer_that_would_overflow_is_refused_by_name(aggregate, tmp_path, base, delta):
    with pytest.raises(AggregationError, match="layer.count would .* can hold"):
        aggregate({"layer.count": base}, [{"layer.count": delta}])
    assert not (tmp_path / "out").exists()


# ---- refusals


def test_a_result_that_is_not_finite_is_refused_by_name_and_leaves_no_file(aggregate, tmp_path):
    huge = {"ok": np.float32([0]), "conv.weight": np.float32([0, 3e38])}
    for strategy in ("fedavg", "fedmedian"):
        with pytest.raises(AggregationError, match="conv.weight would hold a value that is not finite"):
            aggregate(huge, [huge, huge], strategy=strategy)
        assert not (tmp_path / "out").exists() and not (tmp_path / "out-slots").exists()


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian", "fedadam"])
def test_a_nan_that_slipped_in_is_refused(aggregate, strategy):
    good, bad = {"w": np.float32([1, 1])}, {"w": np.float32([1, np.nan])}
    with pytest.raises(AggregationError, match="w would hold"):
        aggregate(good, [good, bad, good, good], strategy=strategy)


@pytest.mark.parametrize(
    "delta", [{"w": np.float32([1])}, {"w": np.zeros(2)}, {"v": np.float32([1, 2])}, {}, {"w": np.float32([[1, 2]])}]
)
def test_an_update_that_does_not_fit_is_refused_by_name(aggregate, delta):
    with pytest.raises(AggregationError, match="update-1 does not hold w with dtype F32 and shape"):
        aggregate({"w": np.float32([0, 0])}, [{"w": np.float32([1, 2])}, delta])


def test_no_update_and_no_example_are_refused(aggregate):
    with pytest.raises(AggregationError, match="must be an update"):
        aggregate({"w": np.float32([0])}, [])
    with pytest.raises(AggregationError, match="at least one example"):
        aggregate({"w": np.float32([0])}, [{"w": np.float32([0])}], [0])


def test_a_damaged_file_is_an_aggregation_error(aggregate, tmp_path):
    aggregate({"w": np.float32([0])}, [{"w": np.float32([0])}])
    (tmp_path / "update-0").write_bytes(b"damaged")
    with pytest.raises(AggregationError, match="Not a safetensors file"):
        aggregation.aggregate(
            build("fedavg", {}),
            base=tmp_path / "base",
            base_slots=None,
            updates=[UpdateFile(tmp_path / "update-0", 1)],
            out=tmp_path / "out",
            out_slots=tmp_path / "out-slots",
            on_block=lambda: None,
        )
    assert not (tmp_path / "out").exists()


def test_slots_that_do_not_fit_are_refused(aggregate, tmp_path):
    weights.save(tmp_path / "other", {"m/w": np.zeros(3), "v/w": np.zeros(1)})
    with pytest.raises(AggregationError, match="other does not hold m/w"):
        aggregate({"w": np.float32([0])}, [{"w": np.float32([0])}], strategy="fedadam", slots=tmp_path / "other")


# ---- what is told


def test_digest_and_size_are_the_files(aggregate, tmp_path):
    base = {"w": noise(1, BLOCK + 3), "n": np.array(1, np.int64)}
    for strategy in ("fedavg", "fedadam"):
        _, told = aggregate(base, [base], strategy=strategy)
        content = (tmp_path / "out").read_bytes()
        assert told.digest == hashlib.sha256(content).hexdigest() and told.num_bytes == len(content)
        assert b"__metadata__" not in content
    slots = (tmp_path / "out-slots").read_bytes()
    assert told.slots_digest == hashlib.sha256(slots).hexdigest()


def test_the_new_model_is_the_file_that_save_would_write(aggregate, tmp_path):
    new, _ = aggregate(
        {"b": noise(1, 5), "a": np.array([1.0]), "n": np.array(1, np.int32)},
        [{"b": noise(2, 5), "a": np.array([1.0]), "n": np.array(1, np.int32)}],
    )
    assert (tmp_path / "out").read_bytes() == weights.dump(new)


def test_without_slots_no_slot_file_is_written(aggregate, tmp_path):
    _, told = aggregate({"w": np.float32([0])}, [{"w": np.float32([1])}])
    assert told.slots_digest is None and not (tmp_path / "out-slots").exists()


def test_norms_and_cosines_are_of_whole_updates(aggregate):
    base = {"a": np.float32([0]), "b": np.float32([0]), "n": np.array(0, np.int64)}
    along = {"a": np.float32([3]), "b": np.float32([4]), "n": np.array(9, np.int64)}
    against = {"a": np.float32([-3]), "b": np.float32([-4]), "n": np.array(9, np.int64)}
    across = {"a": np.float32([4]), "b": np.float32([-3]), "n": np.array(9, np.int64)}
    still = {"a": np.float32([0]), "b": np.float32([0]), "n": np.array(9, np.int64)}
    _, told = aggregate(base, [along, against, across, still], [10**9, 1, 1, 1])
    np.testing.assert_allclose(told.norms, [5, 5, 5, 0])
    np.testing.assert_allclose(told.cosines, [1, -1, 0, 0], atol=1e-6)


def test_norms_and_cosines_are_finite_however_large_the_lie(aggregate):
    _, told = aggregate({"w": np.zeros(3)}, [{"w": np.full(3, 1e200)}, {"w": np.full(3, -1e-200)}, {"w": np.zeros(3)}])
    assert all(map(math.isfinite, told.norms + told.cosines))
    _, told = aggregate(
        {"w": np.zeros(3, np.float32)}, [{"w": np.full(3, 1e30, np.float32)}, {"w": np.ones(3, np.float32)}]
    )
    np.testing.assert_allclose(told.norms, [math.sqrt(3) * 1e30, math.sqrt(3)], rtol=1e-6)
    np.testing.assert_allclose(told.cosines, [1, 1], rtol=1e-6)


def test_a_model_that_did_not_move_has_no_angle(aggregate):
    _, told = aggregate({"w": np.float32([0])}, [{"w": np.float32([1])}, {"w": np.float32([-1])}])
    assert told.cosines == [0.0, 0.0]


# ---- blocks


def test_on_block_is_called_for_every_block_and_may_abort(aggregate, tmp_path):
    base = {"w": noise(1, 3 * BLOCK), "n": np.array(1, np.int64)}
    calls = []
    aggregate(base, [base], on_block=lambda: calls.append(1))
    assert len(calls) >= 4

    def abort():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        aggregate(base, [base], on_block=abort)
    assert len(calls) == 2 and not (tmp_path / "out").exists()


@dataclass
class Spy:
    """A strategy that notes what it is shown."""

    slots: ClassVar[tuple[str, ...]] = ()
    scalars: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        self.blocks, self.updates, self.total = [], None, None

    def client_config(self):
        return {}

    def prepare(self, updates):
        self.updates = updates
        self.total = updates.reduce(lambda block: block.deltas.sum(axis=1, dtype=np.float64))
        return Plan(updates.share_by_examples())

    def step(self, plan, block):
        self.blocks.append((block.tensor, len(block.base), block.deltas.shape))
        return block.base, {}


def test_a_block_lies_within_one_tensor_and_its_size_depends_on_the_clients(aggregate):
    base = {"a": noise(1, BLOCK + 1), "b": np.float32([1])}
    spy = Spy()
    aggregate(base, [base] * 3, strategy=spy)
    assert sorted(spy.blocks) == [("a", 1, (3, 1)), ("a", BLOCK, (3, BLOCK)), ("b", 1, (3, 1))]


def test_updates_are_summed_up_over_all_blocks_of_floats(aggregate):
    base = {"a": np.ones(BLOCK + 1, np.float32), "b": np.ones(2), "n": np.ones(9, np.int64)}
    spy = Spy()
    aggregate(base, [base, {name: 2 * array for name, array in base.items()}], strategy=spy)
    np.testing.assert_array_equal(spy.total, [BLOCK + 3, 2 * (BLOCK + 3)])


def test_updates_tell_examples_and_staleness(aggregate):
    spy = Spy()
    aggregate({"w": np.float32([0])}, [{"w": np.float32([0])}] * 2, [3, 5], strategy=spy)
    assert spy.updates.num_examples.tolist() == [3, 5]
    assert spy.updates.staleness.tolist() == [0, 0]


@pytest.mark.parametrize("num_clients", [1, 64, 65, 1000, 10**7])
def test_a_block_of_all_updates_together_has_a_bounded_size(num_clients):
    largest = max(span.stop - span.start for span in streams.spans({"w": ("F32", (BLOCK * 3,))}, num_clients))
    assert 1 <= largest <= BLOCK
    assert num_clients * largest <= max(streams.MAX_COORDINATES, num_clients)


def peak_bytes(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian", "fedadam"])
def test_memory_is_flat_in_the_size_of_the_model(tmp_path, strategy):
    def round_of(blocks):
        array = np.ones(blocks * BLOCK, np.float32)
        for seat in range(3):
            weights.save(tmp_path / f"{blocks}-{seat}", {"w": array})
        files = [UpdateFile(tmp_path / f"{blocks}-{seat}", 1) for seat in range(3)]
        return lambda: aggregation.aggregate(
            build(strategy, {}),
            base=tmp_path / f"{blocks}-0",
            base_slots=None,
            updates=files,
            out=tmp_path / "out",
            out_slots=tmp_path / "out-slots",
            on_block=lambda: None,
        )

    small, large = round_of(8), round_of(160)
    small()  # what is allocated once, is allocated now
    # How many blocks are in the making when it peaks varies: less than half of one of the large files.
    assert peak_bytes(large) < peak_bytes(small) + 160 * BLOCK * 4 / 2


def test_many_clients_need_few_open_files_and_give_the_same_bytes(aggregate, monkeypatch):
    base = {"w": noise(1, 300), "n": np.array(1, np.int64)}
    deltas = [{"w": noise(seed, 300), "n": np.array(seed, np.int64)} for seed in range(2, 42)]
    _, all_open = aggregate(base, deltas)
    monkeypatch.setattr(streams, "most_open", lambda: 8)
    before, most = len(os.listdir("/proc/self/fd")), []
    _, few_open = aggregate(base, deltas, on_block=lambda: most.append(len(os.listdir("/proc/self/fd"))))
    assert few_open == all_open
    assert max(most) < before + 8 + 8  # those that are held, and those that are open for a read
    assert len(os.listdir("/proc/self/fd")) == before


def test_smaller_blocks_give_the_same_bytes(aggregate, monkeypatch):
    base, deltas = {"w": noise(1, 1000)}, [{"w": noise(seed, 1000)} for seed in (2, 3, 4)]
    for strategy in ("fedavg", "fedmedian", "fedadam"):
        monkeypatch.setattr(streams, "BLOCK", 64 * 1024)
        _, whole = aggregate(base, deltas, [1, 2, 4], strategy=strategy)
        monkeypatch.setattr(streams, "BLOCK", 7)
        _, pieces = aggregate(base, deltas, [1, 2, 4], strategy=strategy)
        assert (whole.digest, whole.slots_digest) == (pieces.digest, pieces.slots_digest)
