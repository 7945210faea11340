"""What is written without PyTorch is what PyTorch reads."""

from pathlib import Path

import numpy as np
import pytest

from federation.fl import weights
from federation.fl.files import torch_file
from federation.fl.weights import WeightsError

torch = pytest.importorskip("torch")
WEIGHTS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "counter": np.array(7, np.int64),
    "double": np.linspace(0, 1, 300),
    "empty": np.zeros((0, 3), np.float32),
    "half": np.float16([1.5, -2]),
    "größe": np.int32([[1], [-1]]),
    "brain": np.array([0x3F80, 0xC000], np.uint16),  # 1 and -2 as bfloat16
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    weights.save(file, WEIGHTS)
    return file


def test_torch_load_reads_it_with_weights_only(model: Path, tmp_path: Path) -> None:
    torch_file.write(model, tmp_path / "model.pt")
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert set(state) == set(WEIGHTS)
    assert state["brain"].dtype == torch.bfloat16 and state["brain"].tolist() == [1.0, -2.0]
    for name in set(WEIGHTS) - {"brain"}:
        assert state[name].is_contiguous()
        np.testing.assert_array_equal(state[name].numpy(), WEIGHTS[name], strict=True)


def test_a_network_takes_it(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    given = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    weights.save(tmp_path / "m.safetensors", given)
    torch_file.write(tmp_path / "m.safetensors", tmp_path / "m.pt")
    layer.load_state_dict(torch.load(tmp_path / "m.pt", weights_only=True))
    assert layer(torch.ones(1, 3)).tolist() == [[3.0, 3.0]]


def test_the_same_model_is_the_same_file(model: Path, tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        torch_file.write(model, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no model")
    with pytest.raises(WeightsError):
        torch_file.write(tmp_path / "bad", tmp_path / "out.pt")
