"""Each type of the table trains, travels in every encoding, is aggregated, and is read by safetensors and PyTorch."""

import hashlib

import numpy as np
import pytest

from clientagent.kinds.training import _check_finite
from federation.fl import aggregation, encodings, weights
from federation.fl.aggregation import UpdateFile
from federation.fl.dtypes import TABLE
from federation.fl.files import encoded, torch_file, updates
from federation.fl.strategies import build
from federation.fl.torch_arrays import to_array, to_torch
from federation.fl.workloads import TrainConfig
from tests.fl.networks import Small, every_type

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
WORKLOAD = Small(every_type)
CONFIG = TrainConfig(epochs=1, batch_size=8, learning_rate=0.1, seed=1)


def as_floats(word, array):
    return weights.widen(array, word).astype(np.float64)


@pytest.mark.parametrize("word", TABLE)
def test_a_tensor_comes_back_from_pytorch_as_it_was(word):
    values = np.array([[0.0, 1.0, -2.0]])
    stored = weights.narrow(values, word)
    tensor = to_torch("t", stored)
    assert tensor.dtype is getattr(torch, TABLE[word].torch) and tensor.tolist() == [[0, 1, -2]]
    back = to_array(tensor)
    assert weights.dtype_of("t", back) == word and back.tobytes() == stored.tobytes()
    assert to_array(to_torch("t", stored[0, 1:2].reshape(()))).shape == ()


def test_the_table_is_what_a_network_of_every_type_has():
    model = WORKLOAD.initial_weights({}, 1)
    assert {weights.dtype_of(name, array) for name, array in model.items()} == set(TABLE)
    assert WORKLOAD.buffers({}) == ("count_int32", "count_int64", "count_int8")


@pytest.fixture
def base(tmp_path):
    WORKLOAD.write_initial(tmp_path / "base", {}, 1)
    return tmp_path / "base"


@pytest.mark.parametrize("encoding", encodings.ENCODINGS)
def test_every_type_trains_travels_and_is_aggregated(base, tmp_path, encoding):
    model, data = weights.mapped(base), WORKLOAD.training_data({}, None)
    update = WORKLOAD.local_update(model, data, {}, CONFIG, lambda *_: True)
    _check_finite(update.delta)
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    metadata = {"num_examples": str(update.num_examples), "base_digest": digest}
    chosen, sent = encodings.build(encoding, {}), {name: delta.copy() for name, delta in update.delta.items()}
    if encoding == encodings.NONE.name:
        weights.save(tmp_path / "update", sent, metadata)
    else:
        encoded.save(tmp_path / "update", sent, chosen, seed=1, metadata=metadata)
    updates.check(tmp_path / "update", base=weights.read_header(base), base_digest=digest, encoding=chosen)
    aggregation.aggregate(
        build("fedavg", {}),
        base=base,
        base_slots=None,
        updates=[UpdateFile(tmp_path / "update", 10)],
        out=tmp_path / "out",
        out_slots=tmp_path / "slots",
        on_block=lambda: None,
    )
    assert_moved(model, update.delta, weights.load(tmp_path / "out"), whole=encoding == encodings.NONE.name)
    assert_readable(tmp_path / "out", tmp_path / "out.pt")
    assert set(WORKLOAD.evaluate(weights.load(tmp_path / "out"), {})) == {"loss", "accuracy"}


def assert_moved(before, delta, after, *, whole):
    steps = -(-len(WORKLOAD.training_data({}, None)) // CONFIG.batch_size) - 1  # of them some are held out
    for name, array in after.items():
        word = weights.dtype_of(name, array)
        assert word == weights.dtype_of(name, before[name]) and array.shape == before[name].shape
        if word not in weights.FLOATS:
            assert (array - before[name]).tolist() in ([steps] * 2, [steps + 1] * 2)
        elif whole:
            wished = as_floats(word, before[name]) + as_floats(word, delta[name])
            assert array.tobytes() == weights.narrow(wished, word).tobytes()
        else:
            assert array.tobytes() != before[name].tobytes()


def assert_readable(file, state_dict):
    torch_file.write(file, state_dict)
    by_pytorch, by_safetensors = torch.load(state_dict, weights_only=True), safetensors.load_file(file)
    stored = weights.load(file)
    assert by_pytorch.keys() == by_safetensors.keys() == stored.keys()
    for name, array in stored.items():
        assert torch.equal(by_pytorch[name], by_safetensors[name])
        assert to_array(by_pytorch[name]).tobytes() == array.tobytes()
    WORKLOAD.network().load_state_dict(by_pytorch)


def test_a_difference_of_bfloat16_is_not_one_of_its_bits():
    local, base = (weights.float64_to_bfloat16(np.array(values)) for values in ([1.0, -2.0], [3.0, 0.5]))
    found = weights.difference("w", local, base)
    assert weights.bfloat16_to_float32(found).tolist() == [-2.0, -2.5]


def test_a_difference_of_integers_wraps_and_wraps_back():
    local, base = np.int8([100, -128]), np.int8([-100, 127])
    assert (base + weights.difference("n", local, base)).tolist() == local.tolist()
