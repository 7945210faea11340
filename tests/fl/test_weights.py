import hashlib
import json
import struct

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl import weights
from federation.fl.weights import WeightsError

MIXED = {
    "half": np.arange(3, dtype=np.float16),
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.array([0.1]),
    "brain": np.array([0x3F80, 0x4000], np.uint16),
    "counter": np.array(7, np.int64),
    "small": np.array([-1, 2], np.int32),
    "empty": np.empty((0, 5), np.float32),
}


def raw(header, body=b"", pad=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text + pad)) + text + pad + body


def spec(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        weights.read_header(path)
    return str(error.value)


# ---- writing


def test_what_was_saved_is_loaded(tmp_path):
    weights.save(tmp_path / "w", MIXED)
    loaded = weights.load(tmp_path / "w")
    assert list(loaded) == sorted(MIXED)
    for name, array in MIXED.items():
        assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)


def test_what_is_mapped_is_what_is_loaded_and_changing_it_leaves_the_file_alone(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(path, MIXED)
    mapped, loaded = weights.mapped(path), weights.load(path)
    assert {name: array.tolist() for name, array in mapped.items()} == {
        name: array.tolist() for name, array in loaded.items()
    }
    mapped["single"] += 1
    assert (mapped["single"] == loaded["single"] + 1).all()
    assert (weights.load(path)["single"] == loaded["single"]).all()


def test_a_file_whose_tensors_do_not_align_is_mapped_all_the_same(tmp_path):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (1 + -len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + np.array([1, 2], np.float32).tobytes())
    mapped = weights.mapped(path)["a"]
    assert mapped.flags.aligned and mapped.tolist() == [1, 2]


def test_save_writes_the_bytes_of_dump_and_returns_their_digest(tmp_path):
    digest = weights.save(tmp_path / "w", MIXED, {"b": "1", "a": "é"})
    content = (tmp_path / "w").read_bytes()
    assert content == weights.dump(MIXED, {"b": "1", "a": "é"})
    assert digest == hashlib.sha256(content).hexdigest()


def test_a_longer_file_that_is_written_over_leaves_nothing(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x" * 10_000)
    weights.save(path, MIXED)
    assert path.read_bytes() == weights.dump(MIXED)


def test_the_order_of_names_and_metadata_changes_no_byte():
    backwards = dict(reversed(MIXED.items()))
    assert weights.dump(MIXED, {"a": "1", "b": "2"}) == weights.dump(backwards, {"b": "2", "a": "1"})


def test_a_file_without_metadata_has_none(tmp_path):
    weights.save(tmp_path / "w", MIXED, {})
    assert b"__metadata__" not in (tmp_path / "w").read_bytes()
    assert weights.read_header(tmp_path / "w").metadata == {}


def test_header_is_sorted_compact_and_padded_and_every_tensor_aligned(tmp_path):
    weights.save(tmp_path / "w", MIXED, {"note": "x"})
    content = (tmp_path / "w").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = content[8 : 8 + length].decode()
    members = json.loads(text)
    assert length % 8 == 0
    assert text.rstrip(" ") == json.dumps(members, sort_keys=True, separators=(",", ":"))
    for tensor in weights.read_header(tmp_path / "w").tensors.values():
        assert tensor.offset % weights.DTYPES[tensor.dtype].itemsize == 0


def test_the_reference_library_reads_what_is_written_here(tmp_path):
    weights.save(tmp_path / "w", MIXED, {"a": "1", "b": "2"})
    with safetensors.safe_open(tmp_path / "w", "numpy") as file:
        assert file.metadata() == {"a": "1", "b": "2"}
        for name in ("half", "single", "double", "counter", "small", "empty"):
            np.testing.assert_array_equal(file.get_tensor(name), MIXED[name])


def test_what_the_reference_library_writes_is_read_here(tmp_path):
    known = {name: MIXED[name] for name in ("half", "single", "double", "counter", "small")}
    safetensors.numpy.save_file(known, tmp_path / "w", {"z": "1", "a": "2", "m": "3"})
    assert weights.read_header(tmp_path / "w").metadata == {"z": "1", "a": "2", "m": "3"}
    for name, array in weights.load(tmp_path / "w").items():
        np.testing.assert_array_equal(array, known[name])


def test_big_endian_and_strided_arrays_are_written_as_their_values(tmp_path):
    weights.save(tmp_path / "w", {"a": np.arange(4, dtype=">f4"), "b": np.arange(6.0).reshape(2, 3).T})
    loaded = weights.load(tmp_path / "w")
    np.testing.assert_array_equal(loaded["a"], [0, 1, 2, 3])
    np.testing.assert_array_equal(loaded["b"], [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.complex64, np.uint64])
def test_another_dtype_is_refused_by_name(dtype):
    with pytest.raises(WeightsError, match="layer.mask has dtype"):
        weights.dump({"layer.mask": np.zeros(2, dtype)})


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_a_name_that_cannot_be_written_is_refused(name):
    with pytest.raises(WeightsError, match="cannot be named"):
        weights.dump({name: np.zeros(1)})


def test_header_bytes_refuses_an_unknown_dtype():
    with pytest.raises(WeightsError, match="U8: allowed are F64, F32, F16, BF16, I64, I32"):
        weights.header_bytes({"a": ("U8", (1,))})


# ---- reading


def test_header_tells_offsets_sizes_and_metadata(tmp_path):
    (tmp_path / "w").write_bytes(
        raw({"b": spec(), "__metadata__": {"k": "v"}, "a": spec("F64", (), (4, 12))}, bytes(12))
    )
    header = weights.read_header(tmp_path / "w")
    assert list(header.tensors) == ["a", "b"] and header.metadata == {"k": "v"}
    assert header.num_bytes == (tmp_path / "w").stat().st_size
    assert header.tensors["b"].offset + 4 == header.tensors["a"].offset == header.num_bytes - 8
    assert (header.tensors["a"].size, header.tensors["a"].num_bytes) == (1, 8)


NONSENSE = {
    "empty": b"",
    "seven bytes": b"1234567",
    "text": b"not safetensors at all, truly not",
    "absurd length": struct.pack("<Q", 1 << 60) + b"{}",
    "largest length": b"\xff" * 8 + b"{}",
    "not utf-8": raw(b'{"\xff": 1}'),
    "utf-16": raw(json.dumps({}).encode("utf-16")),
    "byte order mark": raw(b"\xef\xbb\xbf{}"),
    "a list": raw([]),
    "a number": raw(b"1"),
    "nan": raw(b"NaN"),
    "no json": raw(b"{"),
    "nested too deep": raw(b"[" * 100_000),
    "nested dtype": raw(b'{"a":{"dtype":' + b"[" * 900 + b"]" * 900 + b',"shape":[],"data_offsets":[0,4]}}', bytes(4)),
    "an integer of 5,000 digits": raw(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}', bytes(4)
    ),
    "a name twice": raw(
        b'{"a":' + json.dumps(spec()).encode() + b',"a":' + json.dumps(spec()).encode() + b"}", bytes(4)
    ),
    "tensor is a list": raw({"a": [1]}, bytes(4)),
    "member missing": raw({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
    "member too much": raw({"a": spec(more=1)}, bytes(4)),
    "unknown dtype": raw({"a": spec("U8", (4,))}, bytes(4)),
    "dtype is a number": raw({"a": spec(4)}, bytes(4)),
    "shape is a string": raw({"a": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}}, bytes(4)),
    "negative length": raw({"a": spec(shape=(-1,))}, bytes(4)),
    "fractional length": raw({"a": spec(shape=(1.0,))}, bytes(4)),
    "length is true": raw({"a": spec(shape=(True,))}, bytes(4)),
    "33 dimensions": raw({"a": spec(shape=(1,) * 33)}, bytes(4)),
    "too large": raw({"a": spec(shape=(2**62,))}, bytes(4)),
    "too large but empty": raw({"a": spec(shape=(0, 2**62), offsets=(0, 0))}),
    "three offsets": raw({"a": spec(offsets=(0, 2, 4))}, bytes(4)),
    "negative offset": raw({"a": spec(offsets=(-4, 0))}, bytes(4)),
    "backwards": raw({"a": spec(offsets=(4, 0))}, bytes(4)),
    "other size": raw({"a": spec(offsets=(0, 8))}, bytes(8)),
    "a gap": raw({"a": spec(), "b": spec(offsets=(8, 12))}, bytes(12)),
    "a gap before": raw({"a": spec(offsets=(4, 8))}, bytes(8)),
    "overlap": raw({"a": spec(), "b": spec(offsets=(0, 4))}, bytes(4)),
    "cut off": raw({"a": spec()}, bytes(3)),
    "too long": raw({"a": spec()}, bytes(5)),
    "metadata is a list": raw({"__metadata__": []}),
    "metadata holds a number": raw({"__metadata__": {"a": 1}}),
    "half a surrogate pair": raw(b'{"\\ud800":' + json.dumps(spec()).encode() + b"}", bytes(4)),
}


@pytest.mark.parametrize("content", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_in_a_sentence(tmp_path, content):
    sentence = refusal(tmp_path / "w", content)
    assert sentence.endswith(".") and sentence.isprintable() and len(sentence) < 400


def test_a_header_that_is_longer_than_allowed_is_refused_unread(tmp_path):
    assert "16,777,216 are allowed" in refusal(tmp_path / "w", raw(b"{}", pad=b" " * 2**24))


def test_a_refusal_names_the_tensor_even_if_its_name_is_absurd(tmp_path):
    assert "conv1.weight" in refusal(tmp_path / "w", raw({"conv1.weight": spec("F8")}, bytes(4)))
    assert len(refusal(tmp_path / "w", raw({"x" * 100_000: spec("F8")}, bytes(4)))) < 300
    assert refusal(tmp_path / "w", raw({"a\x00\x1b[2J": spec("F8")}, bytes(4))).isprintable()


def test_a_file_that_is_not_there_is_the_worlds_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        weights.read_header(tmp_path / "none")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["F32", "I64"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
tensor_like = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(list(weights.DTYPES)) | json_values,
        "shape": st.lists(st.integers(-1, 3) | st.integers(), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(0, 16) | st.integers(), min_size=2, max_size=2) | json_values,
    }
)
header_like = st.dictionaries(st.text(max_size=4) | st.just("__metadata__"), tensor_like | json_values, max_size=4)


def only_weights_errors(path, content):
    path.write_bytes(content)
    try:
        weights.load(path)
    except WeightsError as error:
        assert str(error).isprintable()


@settings(max_examples=250, deadline=None)
@given(header=header_like, body=st.binary(max_size=24))
def test_no_header_raises_anything_else(tmp_path_factory, header, body):
    only_weights_errors(tmp_path_factory.getbasetemp() / "fuzzed-header", raw(header, body))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_good_file_raises_anything_else(tmp_path_factory, data):
    content = bytearray(weights.dump(MIXED, {"k": "v"}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    only_weights_errors(tmp_path_factory.getbasetemp() / "damaged", bytes(content[:cut] if cut % 2 else content))


# ---- BF16 and F16


@pytest.mark.parametrize(
    "value, bits",
    [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3F80),
        (1.0 + 2**-8, 0x3F80),  # half way: to even, down
        (1.0 + 3 * 2**-8, 0x3F82),  # half way: to even, up
        (1.0 + 2**-8 + 2**-40, 0x3F81),  # just above: a detour over float32 would lose it
        (1.0 + 3 * 2**-8 - 2**-40, 0x3F81),
        (-1.0 - 2**-8 - 2**-40, 0xBF81),
        (2.0**-133, 0x0001),  # the smallest
        (2.0**-134, 0x0000),
        (2.0**-134 * (1 + 2**-50), 0x0001),
        (1e-300, 0x0000),
        (3.4e38, 0x7F80),
        (1e300, 0x7F80),
        (-np.inf, 0xFF80),
    ],
)
def test_bfloat16_rounds_once_half_to_even(value, bits):
    assert weights.float64_to_bfloat16(np.array([value]))[0] == bits


def test_a_bfloat16_that_is_not_a_number_stays_one():
    for nan in (np.nan, np.array([0x7FF0000000000001], np.uint64).view(np.float64)[0]):
        assert np.isnan(weights.bfloat16_to_float32(weights.float64_to_bfloat16(np.array([nan]))))[0]


def test_every_finite_bfloat16_survives_widening_and_narrowing():
    bits = np.arange(2**16, dtype=np.uint16)
    bits = bits[np.isfinite(weights.widen(bits, "BF16"))]
    np.testing.assert_array_equal(weights.narrow(weights.widen(bits, "BF16").astype(np.float64), "BF16"), bits)


@settings(max_examples=300, deadline=None)
@given(st.floats(width=64, allow_nan=False, allow_infinity=False, min_value=-3e38, max_value=3e38))
def test_bfloat16_is_the_nearest_there_is(value):
    bits = weights.float64_to_bfloat16(np.array([value]))
    nearest = float(weights.bfloat16_to_float32(bits)[0])
    neighbours = weights.bfloat16_to_float32(np.array([bits[0] - (bits[0] & 0x7FFF > 0), bits[0] + 1], np.uint16))
    assert all(abs(nearest - value) <= abs(float(other) - value) for other in neighbours)


def test_half_precision_rounds_once():
    value = 1.0 + 2**-11 + 2**-40  # just above half way between two float16
    assert weights.narrow(np.array([value]), "F16")[0] == np.float16(1.0 + 2**-10)


@pytest.mark.parametrize(
    "stored, dtype, finite",
    [
        (np.array([1, np.inf], np.float32), "F32", False),
        (np.array([np.nan]), "F64", False),
        (np.array([np.inf], np.float16), "F16", False),
        (np.array([0x7F7F, 0xFF7F], np.uint16), "BF16", True),
        (np.array([0x7F80], np.uint16), "BF16", False),
        (np.array([0xFFC1], np.uint16), "BF16", False),
        (np.array([2**31 - 1], np.int32), "I32", True),
        (np.empty(0, np.float32), "F32", True),
    ],
)
def test_finiteness_is_seen_in_every_dtype(stored, dtype, finite):
    assert weights.all_finite(stored, dtype) is finite
