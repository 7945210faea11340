"""Held-out examples of a folder of their own: exactly these are held out, and copies among the others are told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clientagent import validation
from clientagent.data import SiteData
from clientagent.errors import Misconfigured
from clientagent.flags import read
from clientagent.settings import Settings
from federation.fl import workloads
from federation.fl.workloads import Data, DataError, TrainConfig, training

TABLE, OPTIONS = workloads.get("table"), {"target": "ill", "numbers": "age", "classes": "no,yes"}
CONFIG = TrainConfig(epochs=1, batch_size=4, learning_rate=0.1, seed=1)


def rows(folder: Path, ages: range) -> Path:
    folder.mkdir()
    (folder / "a.csv").write_text("age,ill\n" + "".join(f"{age},{'no' if age % 2 else 'yes'}\n" for age in ages))
    return folder


def sides(data: SiteData, workload, options) -> tuple[Data, Data]:
    found = data.of(workload, options)
    config = data.limits.applied(CONFIG)
    return training.split(found, config.validation_fraction, config.validation_samples)


def test_exactly_the_examples_of_the_other_folder_are_held_out(tmp_path: Path):
    settings = Settings(data=rows(tmp_path / "train", range(30)), validation=rows(tmp_path / "held", range(28, 33)))
    data = SiteData(settings)
    train, held_out = sides(data, TABLE, OPTIONS)
    assert train.features[:, 0].tolist() == list(range(30))
    assert held_out.features[:, 0].tolist() == list(range(28, 33))
    (note,) = data.take_notes()
    assert note.startswith("2 of 5 examples in ") and note.endswith("number 1, number 2.")
    model = TABLE.initial_weights(OPTIONS, 1)
    config = data.limits.applied(CONFIG)
    found = TABLE.local_evaluation(model, data.of(TABLE, OPTIONS), OPTIONS, config, lambda *_: True)
    assert found.num_examples == 5


def test_samples_are_drawn_of_the_training_examples_alone_and_changes_are_seen(tmp_path: Path):
    settings = Settings(data=rows(tmp_path / "train", range(30)), validation=rows(tmp_path / "held", range(40, 43)))
    data = SiteData(replace(settings, samples=4))
    assert [len(side) for side in sides(data, TABLE, OPTIONS)] == [4, 3]
    (tmp_path / "held" / "b.csv").write_text("age,ill\n50,no\n")
    assert [len(side) for side in sides(data, TABLE, OPTIONS)] == [4, 4] and data.take_change()


def test_images_that_are_in_both_folders_are_named(tmp_path: Path):
    for folder, seeds in (("train", (1, 2, 3)), ("held", (3, 4))):
        for seed in seeds:
            (tmp_path / folder / "no").mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / folder / "no" / f"{seed}.png")
    data = SiteData(Settings(data=tmp_path / "train", validation=tmp_path / "held"))
    train, held_out = sides(data, workloads.get("images"), {"size": 16})
    assert (len(train), len(held_out)) == (3, 2)
    (note,) = data.take_notes()
    assert note.endswith("held/no/3.png.") and "models measure better there than they are" in note


def test_a_workload_with_plain_arrays_has_them_too(tmp_path: Path):
    class Plain:
        name = "plain"

        def digest(self) -> str:
            return "d" * 64

        def training_data(self, options, folder: Path) -> Data:
            numbers = np.loadtxt(folder / "numbers", dtype=np.float32, ndmin=1)
            return Data(numbers, np.zeros(len(numbers), np.int64), ("all",))

    for folder, text in (("train", "1 2 3"), ("held", "7 8")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "numbers").write_text(text)
    data = SiteData(Settings(data=tmp_path / "train", validation=tmp_path / "held"))
    train, held_out = sides(data, Plain(), {})
    assert train.features.tolist() == [1, 2, 3] and held_out.features.tolist() == [7, 8]


def test_a_folder_without_examples_is_named(tmp_path: Path):
    (tmp_path / "held").mkdir()
    data = SiteData(Settings(data=rows(tmp_path / "train", range(9)), validation=tmp_path / "held"))
    with pytest.raises(DataError, match=r"held has no file of rows"):
        data.of(TABLE, OPTIONS)


def test_examples_that_are_none_or_of_another_kind_are_refused_naming_the_folder(tmp_path: Path):
    train = Data(np.zeros((3, 1)), np.zeros(3, np.int64), ("no", "yes"))
    with pytest.raises(DataError, match=r"^held has no example to hold out\.$"):
        validation.joined(train, train.subset(np.arange(0)), Path("held"))
    others = replace(train, label_names=("no", "perhaps"))
    with pytest.raises(DataError, match=r"^The examples in held are of another kind than those that are trained on\.$"):
        validation.joined(train, others, Path("held"))


@pytest.mark.parametrize("more", [["--validation-samples", "3"], ["--clients", "2"]])
def test_flags_that_do_not_go_together_are_refused(tmp_path: Path, more: list[str]):
    with pytest.raises(Misconfigured, match="--validation "):
        read(["--server", "http://127.0.0.1", "--validation", str(tmp_path), *more], {})
