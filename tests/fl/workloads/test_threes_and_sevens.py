import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.fl import workloads
from federation.fl.workloads import TrainConfig, vision

ROOT = Path(__file__).parents[3]
threes = workloads.get("threes_and_sevens")


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FL_DATA_DIR", str(tmp_path / "fl"))


def write_mnist(folder, digits, prefix):
    """MNIST's files with images whose pixels all hold ten times their digit."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    images = np.repeat(np.uint8(digits) * 10, 28 * 28)
    for name, content in (
        ("images-idx3-ubyte", struct.pack(">IIII", 2051, len(digits), 28, 28) + images.tobytes()),
        ("labels-idx1-ubyte", struct.pack(">II", 2049, len(digits)) + bytes(digits)),
    ):
        (raw / f"{prefix}-{name}").write_bytes(content)
        (raw / f"{prefix}-{name}.gz").write_bytes(gzip.compress(content))


def both_parts(folder):
    write_mnist(folder, [3, 7, 1, 3], "train")
    write_mnist(folder, [7, 7, 0], "t10k")


def test_without_mnist_the_digits_are_enlarged_to_its_size():
    data = threes.training_data({}, None)
    assert data.features.shape[1:] == (1, 28, 28) and data.features.dtype == np.float32
    assert data.histogram() == {"7": 143, "3": 146}
    image = data.features[0, 0]
    assert data.features.max() == 1 and image[:2].max() == 0 and image[:, -2:].max() == 0
    assert (image[2:5, 2:5] == image[2, 2]).all()


def test_train_and_test_do_not_share_an_image():
    train, test = threes.training_data({}, None), threes.test_data({"download": False})
    assert not {row.tobytes() for row in train.features} & {row.tobytes() for row in test.features}


def test_mnist_in_the_sites_folder_is_used(tmp_path):
    both_parts(tmp_path / "site")
    data = threes.training_data({}, tmp_path / "site")
    assert data.labels.tolist() == [1, 0, 1] and data.label_names == ("7", "3")
    assert data.features.shape == (3, 1, 28, 28)
    np.testing.assert_allclose(data.features[:, 0, 5, 5], np.float32([30, 70, 30]) / 255)


def test_mnist_in_the_data_folder_is_used_for_the_central_test(tmp_path):
    both_parts(tmp_path / "fl" / "datasets")
    assert threes.test_data({"download": False}).labels.tolist() == [0, 0]


def test_half_a_copy_of_mnist_is_none(tmp_path):
    write_mnist(tmp_path, [3, 7], "train")
    assert vision.mnist("test", tmp_path, download=False) is None


def test_nothing_is_downloaded_unless_asked_for(monkeypatch, tmp_path):
    asked = []

    class Datasets:
        @staticmethod
        def MNIST(root, train, download):
            asked.append(download)
            raise RuntimeError("Dataset not found")

    monkeypatch.setattr(vision, "datasets", lambda: Datasets)
    threes.training_data({}, tmp_path)
    assert asked == []
    with pytest.raises(RuntimeError, match="not found"):
        threes.training_data({"download": True}, tmp_path)
    assert asked == [True]


def test_the_loss_is_the_distance_from_the_right_answer():
    outputs = torch.logit(torch.tensor([[0.9], [0.9], [0.2]]))
    losses = threes.losses(outputs, torch.tensor([1, 0, 0]))
    np.testing.assert_allclose(losses, [0.1, 0.9, 0.2], atol=1e-6)
    assert threes.predictions(outputs).tolist() == [1, 1, 0]


def test_the_model_is_linear_in_every_pixel():
    assert {name: array.shape for name, array in threes.initial_weights({}, 1).items()} == {
        "1.weight": (1, 784),
        "1.bias": (1,),
    }


def test_it_learns():
    base, data = threes.initial_weights({}, 1), threes.training_data({}, None)
    config = TrainConfig(**threes.train_defaults, seed=1)
    found = threes.local_update(base, data, {}, config, lambda *_: True)
    local = {name: base[name] + found.delta[name] for name in base}
    assert threes.evaluate(local, {})["accuracy"] > 0.95
    assert threes.evaluate(local, {})["loss"] < threes.evaluate(base, {})["loss"]


def test_torchvision_can_be_imported_beside_any_torch():
    code = "from federation.fl.workloads import vision; print(vision.datasets().MNIST is vision.datasets().MNIST)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
