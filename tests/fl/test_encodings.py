"""Encoded updates: written by a client, checked and decoded block by block by the server."""

import hashlib
import json

import numpy as np
import pytest

from federation.fl import aggregation, encodings, weights
from federation.fl.aggregation import UpdateFile
from federation.fl.encodings.topk import TopK
from federation.fl.files import deltas, encoded, streams, updates
from federation.fl.files.deltas import DeltaReader
from federation.fl.files.streams import BLOCK
from federation.fl.files.updates import UpdateError
from federation.fl.options import OptionError
from federation.fl.strategies import build
from federation.fl.weights import WeightsError

ENCODED = ("float16", "int8", "topk")


def noise(seed, shape, dtype=np.float32):
    return (np.random.default_rng(seed).standard_normal(shape) * 0.01).astype(dtype)


def brain(array):
    return weights.float64_to_bfloat16(array.astype(np.float64))


MODEL = {
    "conv.weight": noise(1, (3, BLOCK + 7)),
    "conv.bias": noise(2, 5, np.float64),
    "half": noise(3, 4, np.float16),
    "brain": brain(noise(4, 6)),
    "counter": np.array(4, np.int64),
    "nothing": np.zeros((0, 3), np.float32),
}
BASE_DIGEST = hashlib.sha256(weights.dump(MODEL)).hexdigest()
METADATA = {"num_examples": "120", "base_digest": BASE_DIGEST}


@pytest.fixture
def base(tmp_path):
    weights.save(tmp_path / "base", MODEL)
    return weights.read_header(tmp_path / "base")


def delta(seed=1):
    return {
        "conv.weight": noise(seed, (3, BLOCK + 7)),
        "conv.bias": noise(seed + 1, 5, np.float64),
        "half": noise(seed + 2, 4, np.float16),
        "brain": brain(noise(seed + 3, 6)),
        "counter": np.array(2, np.int64),
        "nothing": np.zeros((0, 3), np.float32),
    }


def copy(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def save(path, arrays, name, options=None, **more):
    return encoded.save(
        path, copy(arrays), encodings.build(name, options or {}), **{"seed": 7, "metadata": METADATA} | more
    )


def decode(paths, model=MODEL):
    """What the server reads of update files: rows of float32, or float64, by tensor."""
    header = {name: (weights.dtype_of(name, array), array.shape) for name, array in model.items()}
    found = {name: [] for name in model}
    with DeltaReader(paths, header) as reader:
        for span in streams.spans(header, len(paths)):
            found[span.name].append(reader.read(span).copy())
    return {name: np.hstack(parts) for name, parts in found.items() if parts}


def wide(name, array):
    return weights.widen(array, weights.dtype_of(name, array)).reshape(-1)


# ---- one update


@pytest.mark.parametrize("name", ENCODED)
def test_what_is_written_is_accepted_and_described(tmp_path, base, name):
    digest, _ = save(tmp_path / "u", delta(), name)
    found = updates.check(tmp_path / "u", base=base, base_digest=BASE_DIGEST, encoding=encodings.build(name, {}))
    assert (found.digest, found.num_examples) == (digest, 120)
    assert digest == hashlib.sha256((tmp_path / "u").read_bytes()).hexdigest()


def test_float16_is_the_nearest_half(tmp_path):
    save(tmp_path / "u", delta(), "float16")
    read = decode([tmp_path / "u"])
    for name, array in delta().items():
        if array.size:
            expected = wide(name, array) if name == "brain" else wide(name, array).astype(np.float16)
            np.testing.assert_array_equal(read[name][0], expected.astype(read[name].dtype))


@pytest.mark.parametrize("name", ["int8", "topk"])
def test_what_is_read_and_what_is_left_make_the_delta(tmp_path, name):
    _, left = save(tmp_path / "u", delta(), name, left=tmp_path / "left")
    assert left == hashlib.sha256((tmp_path / "left").read_bytes()).hexdigest()
    read, residual = decode([tmp_path / "u"]), weights.load(tmp_path / "left")
    assert read["counter"][0] == 2 and "counter" not in residual
    for tensor in ("conv.weight", "conv.bias", "half", "brain"):
        whole = wide(tensor, delta()[tensor]).astype(np.float32)
        np.testing.assert_allclose(read[tensor][0] + residual[tensor].reshape(-1), whole, rtol=0, atol=1e-9)


def test_topk_sends_the_largest_of_each_tensor(tmp_path):
    save(tmp_path / "u", delta(), "topk", {"fraction": 0.01})
    given = delta()["conv.weight"].reshape(-1)
    read = decode([tmp_path / "u"])["conv.weight"][0]
    count = -(-given.size // 100)
    assert np.count_nonzero(read) == count
    np.testing.assert_array_equal(read[read != 0], given[read != 0])
    assert np.abs(given[read == 0]).max() <= np.abs(read[read != 0]).min()


@pytest.mark.parametrize(("name", "part"), [("float16", 0.5), ("int8", 0.25), ("topk", 0.2)])
def test_an_encoded_update_is_as_small_as_is_said(tmp_path, name, part):
    arrays = {"w": noise(1, 100_000)}
    save(tmp_path / "u", arrays, name)
    assert (tmp_path / "u").stat().st_size == pytest.approx(400_000 * part, rel=0.01)


@pytest.mark.parametrize("name", ENCODED)
def test_the_same_arguments_give_the_same_bytes(tmp_path, name):
    first = save(tmp_path / "a", delta(), name, left=tmp_path / "left")
    assert save(tmp_path / "b", delta(), name, left=tmp_path / "left again") == first


def test_int8_rounds_otherwise_with_another_seed(tmp_path):
    assert save(tmp_path / "a", delta(), "int8") != save(tmp_path / "b", delta(), "int8", seed=8)


@pytest.mark.parametrize("name", ["int8", "topk"])
def test_with_feedback_nothing_is_lost_over_rounds(tmp_path, name):
    arrays, sent, residual = {"w": noise(1, 500)}, np.zeros(500), None
    for number in range(30):
        save(tmp_path / "u", arrays, name, seed=number, residual=residual, left=tmp_path / f"left{number}")
        residual = tmp_path / f"left{number}"
        sent += decode([tmp_path / "u"], arrays)["w"][0]
    np.testing.assert_allclose(sent + weights.load(residual)["w"], 30 * arrays["w"].astype(np.float64), atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"not weights", weights.dump({"w": np.zeros(3, np.float32)})])
def test_a_residual_that_does_not_fit_is_passed_over(tmp_path, content):
    (tmp_path / "residual").write_bytes(content)
    without = save(tmp_path / "a", delta(), "topk")
    assert save(tmp_path / "b", delta(), "topk", residual=tmp_path / "residual") == without
    assert save(tmp_path / "c", delta(), "topk", residual=tmp_path / "not there") == without


@pytest.mark.parametrize("name", ENCODED)
def test_the_largest_floats_stay_finite(tmp_path, name):
    huge = {"w": np.array([1e308, -1e308, 3e38, 0.0])}
    weights.save(tmp_path / "residual", {"w": np.full(4, 3e38, np.float32)})
    save(tmp_path / "u", huge, name, residual=tmp_path / "residual")
    read = decode([tmp_path / "u"], huge)["w"][0]
    assert np.isfinite(read).all() and read[0] > 6e4 and read[1] <= 0


def test_the_delta_may_be_of_any_layout(tmp_path):
    array = noise(1, (40, 30))
    view = array.T[::-1]
    view.flags.writeable = False
    digest = encoded.save(tmp_path / "a", {"w": view}, TopK(), seed=1, metadata={})
    assert digest == encoded.save(tmp_path / "b", {"w": view.copy()}, TopK(), seed=1, metadata={})


def test_unknown_names_and_options_are_refused():
    with pytest.raises(OptionError, match="There is no compression 'zip': choose one of none, float16, int8, topk."):
        encodings.build("zip", {})
    with pytest.raises(OptionError, match="fraction of compression topk must be a number above 0"):
        encodings.build("topk", {"fraction": 0})
    with pytest.raises(OptionError, match="compression int8 has no option 'fraction'"):
        encodings.build("int8", {"fraction": 0.5})


# ---- many updates


def aggregate(tmp_path, paths, strategy="fedavg"):
    told = aggregation.aggregate(
        build(strategy, {}),
        base=tmp_path / "base",
        base_slots=None,
        updates=[UpdateFile(path, number + 1) for number, path in enumerate(paths)],
        out=tmp_path / "out",
        out_slots=tmp_path / "out-slots",
        on_block=lambda: None,
    )
    return told


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian"])
def test_encoded_updates_aggregate_as_what_they_stand_for(tmp_path, base, strategy):
    """Plain and encoded updates side by side give the bytes, norms and cosines of their decoded values."""
    paths, plain = [], []
    for number, name in enumerate((*ENCODED, None)):
        path = tmp_path / f"update-{number}"
        if name:
            save(path, delta(10 * number), name)
        else:
            weights.save(path, delta(10 * number), METADATA)
        read = decode([path])
        paths.append(path)
        plain.append(tmp_path / f"plain-{number}")
        exact = delta(0) | {
            k: v[0].reshape(MODEL[k].shape) for k, v in read.items() if k in ("conv.weight", "conv.bias", "counter")
        }
        for small in ("half", "brain"):  # what was read need not be a half again
            read_small = read[small][0].astype(np.float64)
            exact[small] = brain(read_small) if small == "brain" else read_small.astype(np.float16)
        weights.save(plain[-1], exact, METADATA)
    encoded = aggregate(tmp_path, paths, strategy)
    got = weights.load(tmp_path / "out")
    decoded = aggregate(tmp_path, plain, strategy)
    expected = weights.load(tmp_path / "out")
    for tensor in ("conv.weight", "conv.bias", "counter"):
        np.testing.assert_array_equal(got[tensor], expected[tensor])
    for tensor in ("half", "brain"):
        np.testing.assert_allclose(wide(tensor, got[tensor]), wide(tensor, expected[tensor]), atol=2e-4)
    np.testing.assert_allclose(encoded.norms, decoded.norms, rtol=1e-4)
    np.testing.assert_allclose(encoded.cosines, decoded.cosines, rtol=1e-3)


@pytest.mark.parametrize("window", [1, 64])
def test_a_long_sparse_tensor_is_found_by_bisection(tmp_path, monkeypatch, window):
    monkeypatch.setattr(deltas, "WINDOW", window)
    arrays = {"w": noise(5, 5 * BLOCK + 3)}
    save(tmp_path / "u", arrays, "topk", {"fraction": 0.3})
    stored = weights.load(tmp_path / "u")
    expected = np.zeros_like(arrays["w"])
    expected[stored["indices/w"]] = stored["values/w"]
    np.testing.assert_array_equal(decode([tmp_path / "u"], arrays)["w"][0], expected)


def test_more_files_than_may_be_open_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "most_open", lambda: 1)
    for name in ENCODED:
        save(tmp_path / name, delta(), name)
    read = decode([tmp_path / name for name in ENCODED])["conv.weight"]
    assert read.shape == (3, 3 * (BLOCK + 7)) and (read != 0).any(axis=1).all()


@pytest.mark.parametrize("indices", [[5, 4], [3, 3]])
def test_a_damaged_sparse_update_is_a_sentence(tmp_path, indices):
    content = {"indices/w": np.int32(indices), "values/w": np.float32([1, 2])}
    weights.save(tmp_path / "u", content, METADATA | {"encoding": "topk"})
    with pytest.raises(WeightsError, match="The indices of w are not in ascending order."):
        decode([tmp_path / "u"], {"w": np.zeros(10, np.float32)})


@pytest.mark.parametrize(
    "content",
    [{}, {"values/w": np.zeros(3, np.float32)}, {"values/w": np.zeros(2, np.int8), "scale/w": np.ones(1, np.float32)}],
)
def test_a_file_that_stands_for_nothing_is_refused(tmp_path, content):
    weights.save(tmp_path / "u", content, METADATA | {"encoding": "int8"})
    with pytest.raises(WeightsError, match="does not hold w with dtype F32"):
        DeltaReader([tmp_path / "u"], {"w": ("F32", (2,))})


# ---- what the server refuses

SMALL = {"w": np.zeros((2, 5), np.float32), "n": np.array(1, np.int32)}
GOOD = {
    "float16": {"values/w": np.ones((2, 5), np.float16)},
    "int8": {"values/w": np.full((2, 5), -127, np.int8), "scale/w": np.array(0.5, np.float32)},
    "topk": {"values/w": np.ones(3, np.float32), "indices/w": np.int32([0, 4, 9])},
}


@pytest.fixture
def check(tmp_path):
    weights.save(tmp_path / "small", SMALL)
    header = weights.read_header(tmp_path / "small")

    def check(name, change=(), without=(), said=None, session=None):
        arrays = {"values/n": np.array(0, np.int32)} | GOOD[name] | dict(change)
        arrays = {key: array for key, array in arrays.items() if key not in without}
        weights.save(tmp_path / "u", arrays, METADATA | {"encoding": said or name})
        encoding = encodings.build(session or name, {"fraction": 0.3} if (session or name) == "topk" else {})
        return updates.check(tmp_path / "u", base=header, base_digest=BASE_DIGEST, encoding=encoding)

    return check


@pytest.mark.parametrize("name", ENCODED)
def test_the_smallest_examples_are_accepted(check, name):
    assert check(name).num_examples == 120


@pytest.mark.parametrize("name", ["none", *ENCODED])
def test_a_plain_update_is_accepted_in_every_session(tmp_path, base, name):
    weights.save(tmp_path / "u", delta(), METADATA | {"encoding": "float32"})
    encoding = encodings.build(name, {})
    assert updates.check(tmp_path / "u", base=base, base_digest=BASE_DIGEST, encoding=encoding).num_examples == 120


def test_of_largest_values_fewer_may_be_sent(check):
    assert check("topk", {"values/w": np.ones(1, np.float32), "indices/w": np.int32([9])})
    assert check("topk", {"values/w": np.ones(0, np.float32), "indices/w": np.int32([])})


REFUSED = [
    ("int8", {"session": "topk"}, "encoding is int8, but this session takes float32 or topk."),
    ("int8", {"session": "none"}, "encoding is int8, but this session takes float32."),
    ("int8", {"said": "none", "session": "none"}, "encoding is none, but this session takes float32."),
    ("int8", {"said": "float32"}, "The tensor n is missing"),
    ("float16", {"without": ["values/n"]}, "The tensor values/n is missing."),
    ("float16", {"change": {"w": np.zeros(1, np.float32)}}, "The float16 encoding has no tensor w."),
    ("float16", {"change": {"values/w": np.ones((5, 2), np.float16)}}, r"values/w has shape \[5, 2\], but .* \[2, 5\]"),
    ("float16", {"change": {"values/w": np.ones((2, 5), np.float32)}}, "values/w has dtype F32, but .* F16."),
    ("float16", {"change": {"values/n": np.array(0, np.int64)}}, "values/n has dtype I64, but .* I32."),
    ("float16", {"change": {"values/w": np.full((2, 5), np.inf, np.float16)}}, "values/w holds a value"),
    ("int8", {"without": ["scale/w"]}, "The tensor scale/w is missing."),
    ("int8", {"change": {"scale/n": np.array(1, np.float32)}}, "The int8 encoding has no tensor scale/n."),
    ("int8", {"change": {"scale/w": np.ones(1, np.float32)}}, r"scale/w has shape \[1\]"),
    ("int8", {"change": {"scale/w": np.array(np.nan, np.float32)}}, "scale/w is nan: it must be from 0 to 2.6"),
    ("int8", {"change": {"scale/w": np.array(-1, np.float32)}}, "scale/w is -1: it must be from 0"),
    ("int8", {"change": {"scale/w": np.array(1e37, np.float32)}}, "scale/w is 1e\\+37: it must be from 0"),
    ("int8", {"change": {"values/w": np.full((2, 5), -128, np.int8)}}, "values/w holds -128: int8 goes"),
    ("topk", {"without": ["indices/w"]}, "The tensor indices/w is missing."),
    ("topk", {"change": {"indices/w": np.int32([0, 4])}}, r"values/w has shape \[3\], but its indices have \[2\]."),
    ("topk", {"change": {"indices/w": np.int32([[0, 4, 9]])}}, r"indices/w has shape \[1, 3\]: one dim"),
    ("topk", {"change": {"indices/w": np.int32([0, 1, 2, 3])}}, r"indices/w has shape \[4\]: .* at most 3 is allowed."),
    ("topk", {"change": {"indices/w": np.int64([0, 4, 9])}}, "indices/w has dtype I64, but .* I32."),
    ("topk", {"change": {"values/w": np.ones(3, np.float16)}}, "values/w has dtype F16, but .* F32."),
    ("topk", {"change": {"indices/w": np.int32([0, 4, 10])}}, "indices/w holds 10: the tensor has the indices 0 to 9."),
    ("topk", {"change": {"indices/w": np.int32([-1, 4, 9])}}, "indices/w holds -1: the tensor has the indices 0 to 9."),
    ("topk", {"change": {"indices/w": np.int32([0, 9, 4])}}, "indices/w must ascend, each index once: 4 follows 9."),
    ("topk", {"change": {"indices/w": np.int32([4, 4, 9])}}, "indices/w must ascend, each index once: 4 follows 4."),
    ("topk", {"change": {"values/w": np.float32([1, np.nan, 1])}}, "values/w holds a value that is not finite."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "how", "sentence"), REFUSED)
def test_every_refusal_says_what_is_wrong(check, name, how, sentence):
    with pytest.raises(UpdateError, match=sentence):
        check(name, **how)


def test_the_order_of_indices_is_checked_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(updates, "CHUNK_BYTES", 8)
    model = {"w": np.zeros(100, np.float32)}
    weights.save(tmp_path / "model", model)
    content = {"values/w": np.ones(4, np.float32), "indices/w": np.int32([1, 7, 7, 9])}
    weights.save(tmp_path / "u", content, METADATA | {"encoding": "topk"})
    header = weights.read_header(tmp_path / "model")
    with pytest.raises(UpdateError, match="7 follows 7"):
        updates.check(tmp_path / "u", base=header, base_digest=BASE_DIGEST, encoding=TopK())


def test_indices_of_huge_tensors_are_i64():
    assert TopK().parts("w", (2**31 - 1,))["indices/w"][0] == "I32"
    assert TopK().parts("w", (2**31,))["indices/w"][0] == "I64"


@pytest.mark.parametrize(("name", "options"), [("float16", {}), ("int8", {}), ("topk", {"fraction": 1.0})])
def test_no_update_is_larger_than_its_session_allows(tmp_path, name, options):
    """Of the smallest type that a model can have, as many values as can be."""
    arrays = {"h": noise(1, 1000, np.float16)}
    save(tmp_path / "u", arrays, name, options)
    held = sum(tensor.num_bytes for tensor in weights.read_header(tmp_path / "u").tensors.values())
    assert held <= encodings.build(name, options).most_bytes(2000) + 100


def test_the_metadata_name_the_encoding(tmp_path):
    save(tmp_path / "u", delta(), "int8", metadata={"metrics": json.dumps({"loss": 1})})
    assert weights.read_header(tmp_path / "u").metadata == {"encoding": "int8", "metrics": '{"loss": 1}'}
