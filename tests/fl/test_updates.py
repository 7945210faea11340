import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl import weights
from federation.fl.files import updates
from federation.fl.files.updates import CHUNK_BYTES, UpdateError

MODEL = {
    "conv.weight": np.ones((2, 3), np.float32),
    "conv.bias": np.ones(2, np.float64),
    "half": np.ones(5, np.float16),
    "brain": np.full(3, 0x3F80, np.uint16),
    "counter": np.array(4, np.int64),
}
BASE_DIGEST = hashlib.sha256(weights.dump(MODEL)).hexdigest()
METADATA = {"num_examples": "120", "base_digest": BASE_DIGEST}


@pytest.fixture
def base(tmp_path):
    weights.save(tmp_path / "base", MODEL)
    return weights.read_header(tmp_path / "base")


@pytest.fixture
def check(tmp_path, base):
    def check(content):
        (tmp_path / "update").write_bytes(content)
        return updates.check(tmp_path / "update", base=base, base_digest=BASE_DIGEST)

    return check


def update(change=(), without=(), metadata=(), drop=()):
    arrays = {name: array for name, array in (MODEL | dict(change)).items() if name not in without}
    entries = {name: value for name, value in (METADATA | dict(metadata)).items() if name not in drop}
    return weights.dump(arrays, entries)


def test_a_good_update_is_described(check):
    content = update(
        metadata={"metrics": json.dumps({"train_loss": 0.5, "steps": 3, "val_loss": None}), "format": "pt"}
    )
    found = check(content)
    assert found.digest == hashlib.sha256(content).hexdigest()
    assert (found.num_bytes, found.num_examples) == (len(content), 120)
    assert found.metrics == {"train_loss": 0.5, "steps": 3.0, "val_loss": None}


def test_metrics_may_be_left_out(check):
    assert check(update()).metrics == {}


def test_tensors_may_lie_in_any_order(tmp_path, base):
    order = ["brain", "conv.bias", "counter", "half", "conv.weight"]
    header, offset = {"__metadata__": METADATA}, 0
    for name in order:
        raw = MODEL[name].tobytes()
        dtype, shape = weights.dtype_of(name, MODEL[name]), list(MODEL[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
    text = json.dumps(header, indent=4).encode()
    content = len(text).to_bytes(8, "little") + text + b"".join(MODEL[name].tobytes() for name in order)
    (tmp_path / "update").write_bytes(content)
    found = updates.check(tmp_path / "update", base=base, base_digest=BASE_DIGEST)
    assert found.digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "Not a safetensors file"),
        (b"not safetensors at all, truly not", "Not a safetensors file"),
        (update()[:-1], "cut off or too long"),
        (update(without=["half"]), "The tensor half is missing."),
        (update(without=["half", "brain"]), r"The tensor brain is missing \(and 1 more\)."),
        (update({"extra": np.zeros(1)}), "The model has no tensor extra."),
        (update({"half": np.ones(6, np.float16)}), r"half has shape \[6\], but the model's has \[5\]."),
        (update({"counter": np.ones(1, np.int64)}), r"counter has shape \[1\], but the model's has \[\]."),
        (update({"conv.bias": np.ones(2, np.float32)}), "conv.bias has dtype F32, but the model's has F64."),
        (update({"brain": np.ones(3, np.float16)}), "brain has dtype F16, but the model's has BF16."),
        (update(drop=["num_examples"]), "num_examples must be an integer from 1 to 10.12, and is missing."),
        (update(drop=["base_digest"]), "base_digest is missing"),
        (update(metadata={"base_digest": "0" * 64}), f"base_digest is {'0' * 64}, but this round's model is"),
    ],
)
def test_what_does_not_fit_is_named(check, content, sentence):
    with pytest.raises(UpdateError, match=sentence):
        check(content)


@pytest.mark.parametrize("number", ["1", "1000000000000", "0007"])
def test_num_examples_may_be_from_one_to_a_million_millions(check, number):
    assert check(update(metadata={"num_examples": number})).num_examples == int(number)


@pytest.mark.parametrize(
    "number", ["", "0", "-1", "1000000000001", "9" * 6000, "1.0", "1e3", " 1", "1\n", "+1", "1_0", "١", "nan", "\x00"]
)
def test_another_number_of_examples_is_refused(check, number):
    with pytest.raises(UpdateError, match="num_examples must be an integer") as refusal:
        check(update(metadata={"num_examples": number}))
    assert len(str(refusal.value)) < 300 and str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "metrics",
    ["", "{", "[]", "1", "null", '{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', '{"a": true}', '{"a": "1"}']
    + ['{"a": [1]}', '{"a": ' + "9" * 400 + "}", '{"a": ' + "9" * 5000 + "}", '{"": 1}', '{"a\\u0000": 1}']
    + ['{"\\ud800": 1}', json.dumps({"x" * 101: 1}), json.dumps({str(n): 1 for n in range(101)}), "[" * 50_000],
    ids=range(19),
)
def test_metrics_that_are_not_finite_numbers_are_refused(check, metrics):
    with pytest.raises(UpdateError, match="metric") as refusal:
        check(update(metadata={"metrics": metrics}))
    assert len(str(refusal.value)) < 400 and str(refusal.value).isprintable()


@pytest.mark.parametrize("name", ["conv.weight", "conv.bias", "half", "brain"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(check, name, value):
    array = MODEL[name].copy()
    array.reshape(-1)[-1] = weights.float64_to_bfloat16(np.array([value]))[0] if name == "brain" else value
    with pytest.raises(UpdateError, match=f"{name} holds a value that is not finite"):
        check(update({name: array}))


def test_integers_of_any_value_are_fine(check):
    check(update({"counter": np.array(-(2**63), np.int64)}))


@pytest.mark.parametrize("position", [0, CHUNK_BYTES // 4 - 1, CHUNK_BYTES // 4, 3 * CHUNK_BYTES // 4])
def test_finiteness_and_digest_hold_across_chunks(tmp_path, position):
    arrays = {"a": np.zeros(3, np.float16), "w": np.ones(3 * CHUNK_BYTES // 4 + 1, np.float32)}
    weights.save(tmp_path / "base", arrays)
    base = weights.read_header(tmp_path / "base")
    digest = weights.save(tmp_path / "update", arrays, METADATA)
    assert updates.check(tmp_path / "update", base=base, base_digest=BASE_DIGEST).digest == digest
    arrays["w"][position] = np.nan
    weights.save(tmp_path / "update", arrays, METADATA)
    with pytest.raises(UpdateError, match="w holds"):
        updates.check(tmp_path / "update", base=base, base_digest=BASE_DIGEST)


def test_no_read_is_larger_than_a_chunk(tmp_path, base, monkeypatch):
    arrays = {"w": np.ones(CHUNK_BYTES, np.float32)}
    weights.save(tmp_path / "base", arrays)
    base = weights.read_header(tmp_path / "base")
    weights.save(tmp_path / "update", arrays, METADATA)
    sizes = []
    finite = weights.all_finite
    monkeypatch.setattr(weights, "all_finite", lambda a, dtype: sizes.append(a.nbytes) or finite(a, dtype))
    updates.check(tmp_path / "update", base=base, base_digest=BASE_DIGEST)
    assert sizes == [CHUNK_BYTES] * 4


def test_a_header_far_larger_than_the_models_is_refused_before_it_is_parsed(check):
    with pytest.raises(UpdateError, match="header has .* bytes: .* are allowed"):
        check(update(metadata={"note": "x" * 2**20}))


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_no_damage_raises_anything_but_an_update_error(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    weights.save(folder / "fuzz-base", MODEL)
    content = bytearray(update(metadata={"metrics": '{"loss": 0.5}'}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "fuzz-update").write_bytes(content)
    try:
        updates.check(folder / "fuzz-update", base=weights.read_header(folder / "fuzz-base"), base_digest=BASE_DIGEST)
    except UpdateError as error:
        assert str(error).isprintable()


@settings(max_examples=250, deadline=None)
@given(metadata=st.dictionaries(st.sampled_from(["num_examples", "base_digest", "metrics", "x"]), st.text(max_size=30)))
def test_no_metadata_raise_anything_but_an_update_error(tmp_path_factory, metadata):
    folder = tmp_path_factory.getbasetemp()
    weights.save(folder / "meta-base", MODEL)
    try:
        (folder / "meta-update").write_bytes(weights.dump(MODEL, METADATA | metadata))
        updates.check(folder / "meta-update", base=weights.read_header(folder / "meta-base"), base_digest=BASE_DIGEST)
    except UpdateError as error:
        assert str(error).isprintable()


# ---- numbers that a strategy needs


@pytest.fixture
def check_needed(tmp_path, base):
    def check(content, needs):
        (tmp_path / "update").write_bytes(content)
        return updates.check(tmp_path / "update", base=base, base_digest=BASE_DIGEST, needs=needs)

    return check


@pytest.mark.parametrize("value", ["1", "40", "1000000000", "2.5"])
def test_a_number_that_is_needed_is_there(check_needed, value):
    assert check_needed(update(metadata={"local_steps": value}), ["local_steps"]).num_examples == 120


@pytest.mark.parametrize(
    "name, value",
    [("local_steps", value) for value in ("", "0", "-3", "nan", "inf", "1e10", "ten", "1" * 400)]
    + [("base_train_loss", value) for value in ("", "-0.1", "nan", "inf", "1e31", "[]")],
)
def test_a_number_that_is_none_or_out_of_range_is_refused_by_name(check_needed, name, value):
    with pytest.raises(UpdateError, match=f"The metadata {name} must be .*, not "):
        check_needed(update(metadata={name: value}), [name])


def test_a_number_that_is_missing_is_refused_with_what_it_is(check_needed):
    with pytest.raises(UpdateError, match="base_train_loss is missing: the mean loss of the received model"):
        check_needed(update(), ["base_train_loss"])


def test_a_number_that_nobody_needs_may_be_anything(check_needed):
    assert check_needed(update(metadata={"local_steps": "ten"}), []).num_examples == 120
