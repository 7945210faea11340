"""What one bad update may not do, in the engine: with small files, and models made with and without defences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import aggregation, encodings, norms, strategies, weights
from federation.fl.aggregation import SpoiltModel, UpdateFile
from federation.fl.defences import Defence, clipping, counted_examples
from federation.fl.files import encoded, updates
from tests.properties import PROPERTY

ALL = tuple(Defence)
SIZE = 70_000  # more than one block


def base(tmp_path, value=0.5, dtype=np.float32):
    tensors = {"w": np.full(SIZE, value, dtype), "b": np.zeros((), np.int64)}
    weights.save(tmp_path / "base", tensors)
    return tensors


def one(tmp_path, number, values, examples=50, moved=1):
    path = tmp_path / f"update-{number}"
    weights.save(path, {"w": values, "b": np.array(moved, np.int64)})
    return UpdateFile(path, examples, norm=norms.norm(norms.squared(values, weights.dtype_of("w", values))))


def make(tmp_path, files, defences, strategy="fedavg"):
    made = aggregation.aggregate(
        strategies.build(strategy, {}), base=tmp_path / "base", base_slots=None, updates=files, out=tmp_path / "out",
        out_slots=tmp_path / "slots", defences=defences, on_block=lambda: None,
    )  # fmt: skip
    return made, weights.load(tmp_path / "out")


@PROPERTY
@given(
    st.lists(st.floats(0.01, 0.9), min_size=1, max_size=6),
    st.sampled_from(["fedavg", "fedmedian", "fedadam"]),
    st.sampled_from([np.float32, np.float64, np.float16]),
)
def test_honest_updates_give_the_same_bytes_with_and_without_defences(tmp_path_factory, values, strategy, dtype):
    folder = tmp_path_factory.mktemp("honest")
    base(folder, dtype=dtype)
    files = [one(folder, k, np.full(SIZE, value, dtype), examples=k + 1) for k, value in enumerate(values)]
    without, _ = make(folder, files, (), strategy)
    with_all, _ = make(folder, files, ALL, strategy)
    assert (with_all.digest, with_all.slots_digest, with_all.clipped) == (without.digest, without.slots_digest, None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_norm_far_beyond_the_median_is_clipped_to_a_hundred_times_it(tmp_path, dtype):
    base(tmp_path, 0.0, dtype)
    honest = [np.full(SIZE, value, dtype) for value in (0.1, 0.2)]
    huge = np.full(SIZE, 1e6, dtype)
    made, model = make(tmp_path, [one(tmp_path, k, v) for k, v in enumerate([*honest, huge])], ALL)
    assert made.clipped.rows == [2]
    assert made.clipped.limit == pytest.approx(100 * 0.2 * math.sqrt(SIZE))
    assert model["w"] == pytest.approx(np.full(SIZE, (0.1 + 0.2 + 20.0) / 3), rel=1e-6)
    assert made.norms[2] == pytest.approx(1e6 * math.sqrt(SIZE)), "as it was sent"
    _, unclipped = make(tmp_path, [one(tmp_path, k, v) for k, v in enumerate([*honest, huge])], ["finite"])
    assert unclipped["w"][0] > 3e5


def test_integer_tensors_of_a_clipped_update_are_scaled_too(tmp_path):
    base(tmp_path, 0.0)
    small = np.full(SIZE, 0.1, np.float32)
    files = [one(tmp_path, k, small, moved=0) for k in (0, 1)]
    files.append(one(tmp_path, 2, np.full(SIZE, 1e5, np.float32), moved=30_000))
    _, model = make(tmp_path, files, ALL)
    assert model["b"] == 1  # a third of 30,000 scaled by 10 / 1e5
    _, before = make(tmp_path, files, ())
    assert before["b"] == 10_000


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_updates_are_never_clipped(count):
    assert clipping([1.0, 1e30][:count]) is None
    assert clipping([1e30, 1.0][:count]) is None


def test_unknown_and_zero_norms_clip_nothing():
    assert clipping([None, None, None]) is None
    assert clipping([0.0, 0.0, 5.0]) is None
    assert clipping([1.0, 1.0, None, 1e9]).rows == [3]
    assert clipping([1.0, 1.0, 100.0]) is None
    assert clipping([1.0, 1.0, 101.0]).rows == [2]


@pytest.mark.parametrize(
    ("claimed", "told", "counts"), [(50, None, 50), (200, 100, 200), (201, 100, 100), (10**12, 100, 100), (5, 0, 1)]
)
def test_more_than_twice_what_was_told_counts_as_told(claimed, told, counts):
    assert counted_examples(claimed, told) == counts


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 3e38), (np.float16, 6e4), (np.float64, 1.7e308)])
def test_an_update_that_alone_would_spoil_the_model_is_to_blame(tmp_path, dtype, large):
    base(tmp_path, large, dtype)
    small, huge = np.full(SIZE, 0.0, dtype), np.zeros(SIZE, dtype)
    huge[-1] = large
    files = [one(tmp_path, k, v) for k, v in enumerate([small, huge, small])]
    with pytest.raises(SpoiltModel, match="w would hold a value that is not finite") as refusal:
        make(tmp_path, files, ["finite"])
    assert refusal.value.rows == (1,)
    assert not (tmp_path / "out").exists()
    make(tmp_path, files[::2], ["finite"])


def test_without_defences_only_a_model_that_is_spoilt_is_refused(tmp_path):
    base(tmp_path, 3e38)
    small, huge = np.zeros(SIZE, np.float32), np.full(SIZE, 1e38, np.float32)
    files = [one(tmp_path, 0, small), one(tmp_path, 1, huge)]
    with pytest.raises(SpoiltModel):
        make(tmp_path, files, ["finite"])
    make(tmp_path, [*files, one(tmp_path, 2, small)], ())
    with pytest.raises(SpoiltModel) as refusal:
        make(tmp_path, [files[1]], ())
    assert refusal.value.rows == (0,)


def test_where_only_the_sum_overflows_the_heaviest_is_to_blame(tmp_path):
    base(tmp_path, 0.0)
    files = [one(tmp_path, k, np.full(SIZE, v, np.float32), n) for k, (v, n) in enumerate([(2e38, 1), (2e38, 9)])]
    with pytest.raises(SpoiltModel) as refusal:
        aggregation.aggregate(
            strategies.build("fedavg", {"server_lr": 10.0}), base=tmp_path / "base", base_slots=None, updates=files,
            out=tmp_path / "out", out_slots=tmp_path / "slots", defences=ALL, on_block=lambda: None,
        )  # fmt: skip
    assert refusal.value.rows == (1,)


def test_an_integer_tensor_that_leaves_its_range_names_its_update(tmp_path):
    base(tmp_path)
    small = np.full(SIZE, 0.1, np.float32)
    weights.save(tmp_path / "base", {"w": small, "b": np.array(2**63 - 10, np.int64)})
    files = [one(tmp_path, 0, small, moved=1), one(tmp_path, 1, small, moved=2**62)]
    with pytest.raises(SpoiltModel) as refusal:
        make(tmp_path, files, ALL)
    assert refusal.value.rows == (1,)


@PROPERTY
@given(
    st.lists(st.floats(-1e4, 1e4, width=16), min_size=1, max_size=200),
    st.sampled_from(["F64", "F32", "F16", "BF16"]),
    st.integers(0, 3),
)
def test_the_norm_is_that_of_the_values(values, dtype, longer):
    exact = np.array(values * (1 + 60 * longer), np.float64)
    stored = weights.narrow(exact, dtype)
    wide = weights.widen(stored, dtype).astype(np.float64)
    assert norms.squared(stored, dtype) == pytest.approx(float(wide @ wide), rel=1e-5)


@pytest.mark.parametrize("value", [1e-30, 1e30, 3e38])
def test_squares_beyond_float32_are_summed_in_float64(value):
    stored = np.full(20_000, value, np.float32)
    assert norms.squared(stored, "F32") == pytest.approx(20_000 * value**2, rel=1e-5)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("place", [0, 8191, 8192, 20_000])
def test_what_is_not_finite_is_seen_anywhere(odd, dtype, place):
    values = np.full(20_001, 0.5)
    values[place] = odd
    assert not math.isfinite(norms.squared(weights.narrow(values, dtype), dtype))


@pytest.mark.parametrize("name", list(encodings.ENCODINGS))
def test_an_accepted_updates_norm_is_that_of_what_is_added(tmp_path, name):
    tensors = base(tmp_path)
    header = weights.read_header(tmp_path / "base")
    delta = {"w": np.random.default_rng(1).normal(size=SIZE).astype(np.float32), "b": np.array(7, np.int64)}
    encoding, file = encodings.build(name, {}), tmp_path / "update"
    metadata = {"num_examples": "5", "base_digest": "x"}
    if name == "none":
        weights.save(file, delta, metadata)
    else:
        encoded.save(file, {key: array.copy() for key, array in delta.items()}, encoding, seed=1, metadata=metadata)
    found = updates.check(file, base=header, base_digest="x", encoding=encoding)
    made, _ = make(tmp_path, [UpdateFile(file, 5)], ())
    assert found.norm == pytest.approx(made.norms[0], rel=1e-5)
    assert tensors["w"].size == SIZE


def test_numbers_too_large_to_be_measured_are_null_and_named(tmp_path):
    base(tmp_path)
    header = weights.read_header(tmp_path / "base")
    told = '{"loss": 1.7e308, "accuracy": 0.5, "other": null}'
    delta = {"w": np.zeros(SIZE, np.float32), "b": np.array(0, np.int64)}
    weights.save(tmp_path / "update", delta, {"num_examples": "5", "base_digest": "x", "metrics": told})
    found = updates.check(tmp_path / "update", base=header, base_digest="x")
    assert found.metrics == {"loss": None, "accuracy": 0.5, "other": None}
    assert found.unusable == ("loss",)
