"""Texts: what is read, what is refused, how they become numbers, and that both networks learn."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import workloads
from federation.fl.options import OptionError
from federation.fl.workloads import DataError, TrainConfig, training
from federation.fl.workloads.text_files import Tokens

TEXT = workloads.get("text")
OPTIONS = {"classes": "ham,spam", "length": 12, "vocabulary": 512, "width": 16}
CONFIG = TrainConfig(epochs=2, batch_size=8, learning_rate=0.5, seed=1)


def write(folder, count=20, inner=""):
    for number in range(count):
        name = "spam" if number % 2 else "ham"
        place = folder / name / inner
        place.mkdir(parents=True, exist_ok=True)
        words = "win a great prize now" if number % 2 else "see you at lunch then"
        (place / f"{number}.txt").write_text(f"{words} {number}")
    return folder


def table(folder, text):
    (folder / "a.csv").write_text(text)
    return folder


def test_folders_are_classes(tmp_path):
    data = TEXT.training_data(OPTIONS, write(tmp_path))
    assert data.features.shape == (20, 12) and data.histogram() == {"ham": 10, "spam": 10}


def test_a_table_has_texts_labels_and_groups(tmp_path):
    rows = 'text,label,group\n"hello, you",ham,anna\n"two\nlines", spam ,ben\nbye,ham,anna\n'
    data = TEXT.training_data(OPTIONS, table(tmp_path, rows))
    assert data.labels.tolist() == [0, 1, 0] and data.ranks[0] == data.ranks[2] != data.ranks[1]


def test_texts_of_one_group_are_on_one_side(tmp_path):
    rows = "text,label,group\n" + "".join(f"text {n},ham,g{n // 5}\n" for n in range(50))
    data = TEXT.training_data(OPTIONS, table(tmp_path, rows))
    train, held_out = training.split(data, 0.3)
    assert len(held_out) % 5 == 0 and 0 < len(held_out) < len(data) and not set(train.ranks) & set(held_out.ranks)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("words,label\nx,ham\n", r"a\.csv has no column 'text'. It has words, label"),
        ("text,label\nx,ham\ny,maybe\n", r"a\.csv, line 3: the label 'maybe' is no class. The classes are ham, spam"),
        ("text,label\nx\n", "line 2: the label '' is no class"),
        ("text,label\n", "has no text"),
    ],
)
def test_a_wrong_table_is_named_with_the_line(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        TEXT.training_data(OPTIONS, table(tmp_path, text))


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="--data DIR"):
        TEXT.training_data(OPTIONS, None)
    with pytest.raises(DataError, match="has no text"):
        TEXT.training_data(OPTIONS, tmp_path)
    (tmp_path / "eggs").mkdir()
    with pytest.raises(DataError, match="eggs is called like no class"):
        TEXT.training_data(OPTIONS, tmp_path)
    with pytest.raises(DataError, match="eggs has no text"):
        TEXT.training_data(OPTIONS | {"classes": "ham,eggs"}, tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    write(tmp_path, 4)
    os.mkfifo(tmp_path / "ham" / "x.txt")
    with pytest.raises(DataError, match=r"ham/x\.txt cannot be read: it is no file\."):
        TEXT.training_data(OPTIONS, tmp_path)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"classes": "ham"}, "classes"),
        ({"classes": "a,a"}, "classes"),
        ({"network": "transformer", "width": 6}, "width"),
        ({"network": "bag", "trained": "lora"}, "trained"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options, field):
    with pytest.raises(OptionError, match=f"^{field} must be") as refused:
        TEXT.initial_weights(options, 1)
    assert refused.value.field == field


def test_copies_are_told(tmp_path):
    rows = "text,label,group\nwin,spam,a\nwin,ham,b\nlunch,ham,c\n"
    counted, contradiction, leak = TEXT.training_data(OPTIONS, table(tmp_path, rows)).notes
    assert counted == "1 of 3 texts is a copy of another."
    assert "a.csv, line 2 and " in contradiction and contradiction.endswith("the same text, with different labels.")
    assert "line 3 are the same text in different groups" in leak


def test_files_that_are_no_text_are_told(tmp_path):
    write(tmp_path, 4)
    (tmp_path / "ham" / "mail.eml").touch()
    assert "ham/mail.eml" in TEXT.training_data(OPTIONS, tmp_path).notes[0]
    (note,) = TEXT.training_data(OPTIONS, table(tmp_path, "text,label\nwin,spam\nlunch,ham\n")).notes
    assert note == "4 files are beside a CSV file and not read, such as ham/0.txt."


def test_rows_without_a_group_are_told(tmp_path):
    (note,) = TEXT.training_data(OPTIONS, table(tmp_path, "text,label,group\nwin,spam,a\nlunch,ham,\n")).notes
    assert note.endswith("a.csv: 1 of 2 rows have no group; each of these is held out by itself.")


# ---- numbers


def test_words_have_the_same_number_everywhere():
    tokens = Tokens("words", 100, 6)
    assert tokens.of("Hello, hello!").tolist() == tokens.of("hello , HELLO !").tolist()
    found = tokens.of("one two")
    assert (found[:2] > 0).all() and found[2:].tolist() == [0] * 4
    assert found.tolist() == [92, 5, 0, 0, 0, 0]


def test_bytes_are_their_own_numbers():
    assert Tokens("bytes", 0, 4).of("ab\0é").tolist() == [98, 99, 1, 0xC3 + 1]


@given(st.text(max_size=60), st.sampled_from(["words", "bytes"]), st.integers(1, 9))
def test_any_text_is_numbers_within_bounds(text, kind, length):
    tokens = Tokens(kind, 16, length)
    found = tokens.of(text)
    assert found.shape == (length,) and 0 <= found.min() <= found.max() < tokens.count


# ---- training


@pytest.mark.parametrize(
    ("chosen", "rate"),
    [
        ({"network": "bag"}, 1.0),
        ({"network": "transformer"}, 0.1),
        ({"network": "transformer", "trained": "lora"}, 0.3),
    ],
)
def test_every_network_learns(tmp_path, chosen, rate):
    options = OPTIONS | chosen
    data = TEXT.training_data(options, write(tmp_path, 80))
    model = TEXT.initial_weights(options, 1)
    for seed in range(5):
        config = TrainConfig(epochs=4, batch_size=8, learning_rate=rate, seed=seed)
        update = TEXT.local_update(model, data, options, config, lambda *_: True)
        model = {name: model[name] + update.delta[name] for name in model}
    found = TEXT.local_evaluation(model, data, options, CONFIG, lambda *_: True)
    assert found.metrics["accuracy"] > 0.9 and np.sum(found.counts["confusion"]) == found.num_examples


NETWORKS = [{"network": "bag"}, {"network": "transformer"}, {"network": "transformer", "trained": "lora"}]


@pytest.mark.parametrize("network", NETWORKS)
def test_an_empty_text_has_finite_logits(network):
    chosen = TEXT._with(OPTIONS | network)
    assert torch.isfinite(chosen.network().eval()(torch.zeros(2, 12, dtype=torch.int64))).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_work_gives_the_same_bytes(tmp_path, network):
    options = OPTIONS | network
    data = TEXT.training_data(options, write(tmp_path))
    model = TEXT.initial_weights(options, 1)
    one, other = (TEXT.local_update(model, data, options, CONFIG, lambda *_: True).delta for _ in range(2))
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
