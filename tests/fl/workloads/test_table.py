"""Tables: what is read, what is refused, how columns are scaled, and that it learns."""

import math
import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl import workloads
from federation.fl.measures import residuals
from federation.fl.options import OptionError
from federation.fl.workloads import DataError, TrainConfig, training

TABLE, NUMBERS = workloads.get("table"), workloads.get("table_regression")
OPTIONS = {"target": "ill", "numbers": "age,weight", "categories": "town", "classes": "no,yes"}
ROWS = "weight,ill,town,age\n70,no,Bonn,30\n,yes,,50\n81.5, yes ,Trier,NA\n"
CONFIG = TrainConfig(epochs=3, batch_size=8, learning_rate=0.1, seed=1)


def read(folder, text=ROWS, options=OPTIONS, workload=TABLE, name="a.csv"):
    (folder / name).write_text(text)
    return workload.training_data(options, folder)


def test_columns_are_found_by_name_whatever_their_order(tmp_path):
    data = read(tmp_path)
    assert data.labels.tolist() == [0, 1, 1] and data.label_names == ("no", "yes")
    assert data.features[0, :2].tolist() == [30, 70] and math.isnan(data.features[1, 1])
    assert math.isnan(data.features[2, 0]) and data.features[1, 2] == -1
    other = read(tmp_path, "town,age,ill,note,weight\nBonn,30,no,x,70\n")
    assert np.array_equal(other.features[0], data.features[0])


def test_all_files_of_the_folder_are_read(tmp_path):
    read(tmp_path, name="b.csv")
    assert len(read(tmp_path)) == 6


def test_rows_of_one_group_are_held_out_together(tmp_path):
    rows = "".join(f"{n},{n % 2},p{n // 5}\n" for n in range(100))
    options = {"target": "y", "numbers": "x", "classes": "0,1", "group": "patient"}
    data = read(tmp_path, "x,y,patient\n" + rows, options)
    sides = [{int(x) // 5 for x in side.features[:, 0]} for side in training.split(data, 0.3)]
    assert all(sides) and not sides[0] & sides[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age,weight,town\n1,2,x\n", r"a\.csv has no column 'ill'. It has age, weight, town"),
        ("", "has no column 'age'"),
        ("age;weight;town;ill\n1;2;x;no\n", "It has age;weight;town;ill. There must be commas between columns"),
        (ROWS.replace("30", "old"), r"a\.csv, line 2: age is 'old', which is no number"),
        (ROWS.replace("81.5", "inf"), "line 4: weight is 'inf', which is no number"),
        (ROWS.replace("81.5", "1e39"), "line 4: weight is '1e39', which is no number"),
        (ROWS.replace("70,no", "70,maybe"), "line 2: ill 'maybe' is no class. The classes are no, yes"),
        (ROWS.replace("70,no", "70,"), "line 2: ill is missing"),
        ("age,weight,town,ill\n", "there is no row"),
        (ROWS.replace("Bonn", "Bonn,am Rhein"), "line 2 has one value more than there are columns"),
        (ROWS.replace("town", "age"), "has no column 'town'"),
        (ROWS.replace("\n70", ",age\n70"), "has the column 'age' twice"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, text)


def test_a_missing_place_is_named(tmp_path):
    with pytest.raises(DataError, match="--data DIR"):
        TABLE.training_data(OPTIONS, None)
    with pytest.raises(DataError, match=r"has no file of rows: \.csv or \.parquet"):
        TABLE.training_data(OPTIONS, tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(DataError, match=r"x\.csv cannot be read"):
        TABLE.training_data(OPTIONS, tmp_path)
    (tmp_path / "x.csv").write_bytes("age,weight,town,ill\n1,2,Köln,no\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"x\.csv cannot be read: line 2 is no UTF-8 text"):
        TABLE.training_data(OPTIONS, tmp_path)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    if name == "x.parquet":
        pytest.importorskip("pyarrow")
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name} cannot be read: it is no file\."):
        TABLE.training_data(OPTIONS, tmp_path)


def test_a_group_column_is_there_and_has_a_value_in_each_row(tmp_path):
    options = OPTIONS | {"group": "patient"}
    with pytest.raises(DataError, match=r"a\.csv has no column 'patient'"):
        read(tmp_path, options=options)
    rows = "age,weight,town,ill,patient\n1,2,x,no,p1\n1,2,x,no,\n"
    with pytest.raises(DataError, match=r"a\.csv, line 3: patient is missing. Rows of one patient are held out"):
        read(tmp_path, rows, options)


def test_equal_rows_of_different_groups_are_told(tmp_path):
    rows = "age,weight,town,ill,patient\n1,2,x,no,p1\n1,2,x,no,p1\n1,2,x,no,p2\n1,3,x,no,p3\n"
    (note,) = read(tmp_path, rows, OPTIONS | {"group": "patient"}).notes
    assert note.startswith("One row is a copy of one with another patient, such as ")
    assert "a.csv, line 2 and " in note and "a.csv, line 4: a model may be measured on one and trained" in note
    (note,) = read(tmp_path, f"{rows}1,2,x,no,p4\n", OPTIONS | {"group": "patient"}).notes
    assert note.startswith("2 rows are copies of ones with another patient")
    assert read(tmp_path, rows).notes == ()  # copies are held out together


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=120) | st.text('a,"\n1é;', max_size=60).map(str.encode))
def test_any_file_is_read_or_named(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "x.csv"
    path.write_bytes(b"age,weight,town,ill\n1,2,x,no\n" + content)
    try:
        assert len(TABLE.training_data(OPTIONS, path.parent))
    except DataError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"age": ["old", "1"]}, "row 1: age is 'old', which is no number"),
        ({"age": [[1], [2]]}, r"row 1: age is '\[1\]', which is no number"),
        ({"ill": [1.0, 0.0]}, r"row 1: ill '1\.0' is no class. The classes are no, yes"),
        ({"ill": [None, "no"]}, "row 1: ill is missing"),
        ({"ill": None}, r"a\.parquet has no column 'ill'"),
    ],
)
def test_what_is_wrong_in_parquet_is_named_with_file_and_row(tmp_path, column, words):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {"age": [30.0, 31.0], "weight": [70, 80], "town": ["a", "b"], "ill": ["no", "yes"]} | column
    there = {name: values for name, values in rows.items() if values is not None}
    parquet.write_table(arrow.table(there), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=words):
        TABLE.training_data(OPTIONS, tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read: .*[^.]\.$"):
        TABLE.training_data(OPTIONS, tmp_path)


def test_parquet_without_its_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="pip install pyarrow"):
        TABLE.training_data(OPTIONS, tmp_path)


def test_parquet_is_read_like_csv(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {"age": [30.0, None], "weight": [70, 80], "town": ["Bonn", None], "ill": ["no", "yes"]}
    parquet.write_table(arrow.table(rows), tmp_path / "a.parquet")
    data = TABLE.training_data(OPTIONS, tmp_path)
    assert data.labels.tolist() == [0, 1] and math.isnan(data.features[1, 0]) and data.features[1, 2] == -1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"numbers": "", "categories": " , "}, "numbers"),
        ({"numbers": "a,a"}, "numbers"),
        ({"numbers": "a", "categories": "a"}, "numbers"),
        ({"numbers": "target"}, "numbers"),
        ({"target": " "}, "target"),
        ({"classes": "yes"}, "classes"),
        ({"classes": "a,a"}, "classes"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options, field):
    with pytest.raises(OptionError) as refused:
        TABLE.initial_weights(options, 1)
    assert refused.value.field == field and str(refused.value).startswith(("numbers", "target", "classes"))


# ---- the network


def test_a_missing_number_is_the_mean_and_marked():
    options = {"numbers": "a,b", "categories": ""}
    model = TABLE._with(options).initial_weights(options, 1)
    model["0.running_mean"], model["0.running_var"] = np.float32([10, 0]), np.float32([4, 1])
    network = TABLE._with(options)._network_with(model, "cpu").eval()
    found = network[0](torch.tensor([[12.0, float("nan")]]))
    assert found[0].tolist() == pytest.approx([1.0, 0.0, 0.0, 1.0], abs=1e-4)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32) | st.none(), min_size=2, max_size=2), min_size=1, max_size=9))
def test_statistics_stay_finite_and_a_variance_is_never_negative(rows):
    chosen = TABLE._with({"numbers": "a,b", "categories": ""})
    network = chosen.network().train()
    filled = [[float("nan") if value is None else value for value in row] for row in rows]
    for _ in range(3):
        assert torch.isfinite(network[0](torch.tensor(filled))).all()
    assert (network[0].running_var >= 0).all() and torch.isfinite(network[0].running_mean).all()


def test_statistics_come_near_the_datas():
    chosen = TABLE._with({"numbers": "a,b", "categories": ""})
    network = chosen.network().train()
    rows = torch.randn(200, 32, 2, generator=torch.Generator().manual_seed(1)) * 3 + 50
    for batch in rows:
        network[0](batch)
    assert network[0].running_mean.tolist() == pytest.approx([50, 50], abs=1)
    assert network[0].running_var.sqrt().tolist() == pytest.approx([3, 3], rel=0.3)


def test_statistics_are_buffers():
    assert TABLE.buffers(OPTIONS) == ("0.running_mean", "0.running_var")


# ---- training


def patients(count, seed):
    rng = np.random.default_rng(seed)
    age, weight = rng.normal(50, 15, count), rng.normal(75, 10, count)
    towns = rng.choice(["Bonn", "Trier", ""], count)
    ill = age + 20 * (towns == "Bonn") > 55
    shown = [f"{a:.1f}" if rng.random() > 0.05 else "" for a in age]
    words = ["yes" if one else "no" for one in ill]
    return list(zip(shown, (f"{one:.1f}" for one in weight), towns, words, age, strict=True))


def learnt(workload, data, options, rounds=6):
    model = workload.initial_weights(options, 1)
    for seed in range(rounds):
        config = TrainConfig(epochs=3, batch_size=16, learning_rate=0.1, seed=seed)
        update = workload.local_update(model, data, options, config, lambda *_: True)
        model = {name: model[name] + update.delta[name] for name in model}
    return workload.local_evaluation(model, data, options, CONFIG, lambda *_: True)


@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_it_learns_classes(tmp_path, network):
    text = "age,weight,town,ill\n" + "".join(f"{a},{w},{t},{i}\n" for a, w, t, i, _ in patients(400, 1))
    options = OPTIONS | {"network": network}
    found = learnt(TABLE, read(tmp_path, text, options), options)
    assert found.metrics["accuracy"] > 0.85 and np.sum(found.counts["confusion"]) == found.num_examples


def test_it_learns_numbers_in_their_own_unit(tmp_path):
    text = "age,weight,town,risk\n"
    text += "".join(f"{a},{w},{t},{150 + 5 * (age - 50):.2f}\n" for a, w, t, _, age in patients(400, 2) if a)
    options = {"target": "risk", "numbers": "age,weight", "categories": "town", "target_scale": 100.0}
    found = learnt(NUMBERS, read(tmp_path, text, options, NUMBERS), options)
    assert found.metrics["mae"] < 20 and found.metrics["mse"] < 1000 and "accuracy" not in found.metrics
    sums = residuals.read(found.counts["sums"])
    assert 100 * sums.mean_absolute == pytest.approx(found.metrics["mae"], abs=0.1)
    assert (100 * sums.root_mean_square) ** 2 == pytest.approx(found.metrics["mse"], rel=0.1)
    assert sum(found.counts["residuals"]) == found.num_examples == sums.examples and sums.determination > 0.95


def test_the_same_work_gives_the_same_bytes(tmp_path):
    rows = (f"{n},{n * 2},t{n % 3},{'no' if n % 2 else 'yes'}\n" for n in range(40))
    data = read(tmp_path, "age,weight,town,ill\n" + "".join(rows))
    model = TABLE.initial_weights(OPTIONS, 1)
    one, other = (TABLE.local_update(model, data, OPTIONS, CONFIG, lambda *_: True).delta for _ in range(2))
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
