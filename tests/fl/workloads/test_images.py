"""The workload `images`: what is read, what is refused, what is drawn, and that it learns."""

import hashlib
import json
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from federation.fl import workloads
from federation.fl.options import OptionError
from federation.fl.workloads import DataError, TrainConfig, copies, image_files, image_loading, training
from federation.fl.workloads.image_loading import FromFiles, Look

IMAGES = workloads.get("images")
OPTIONS = {"classes": "dark,light", "size": 16}
CONFIG = TrainConfig(epochs=2, batch_size=8, learning_rate=0.05, seed=1)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv(image_loading.WORKERS, "0")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def image(seed, light, size=24, mode="RGB"):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 100, (size, size, 3), dtype=np.uint8) + np.uint8(150 * light)
    return Image.fromarray(values).convert(mode)


def write(folder, count=20, inner=""):
    for number in range(count):
        light = number % 2
        place = folder / ("light" if light else "dark") / inner
        place.mkdir(parents=True, exist_ok=True)
        image(number, light).save(place / f"{number}.{'png' if number % 3 else 'jpg'}")
    return folder


def table(folder, text):
    (folder / "list.csv").write_text(text)
    return folder


def look(size=16, grey=False, augmentation="none"):
    return Look(size, grey, augmentation)


def features(data, look_, draw=None):
    ((found, _),) = FromFiles(data, look_, "cpu").each([slice(0, len(data))], draw)
    return found.numpy()


# ---- reading


def test_folders_are_classes(tmp_path):
    data = IMAGES.training_data(OPTIONS, write(tmp_path))
    assert len(data) == 20 and data.histogram() == {"dark": 10, "light": 10}
    assert features(data, look()).shape == (20, 3, 16, 16)


def test_a_table_names_images_labels_and_groups(tmp_path):
    write(tmp_path / "all", 4)
    rows = ["path,label,group", "all/dark/0.jpg,dark,anna", "all/light/1.png,light,ben", "all/dark/2.png,dark,anna"]
    data = IMAGES.training_data(OPTIONS, table(tmp_path, "\n".join(rows)))
    assert data.labels.tolist() == [0, 1, 0] and data.ranks[0] == data.ranks[2] != data.ranks[1]


def test_images_of_one_group_are_on_one_side(tmp_path):
    for patient in range(8):
        write(tmp_path, 6, inner=f"patient-{patient}")
    data = IMAGES.training_data(OPTIONS, tmp_path)
    train, held_out = training.split(data, 0.3)
    groups = [{path.split("/")[-2] for path in side.features} for side in (train, held_out)]
    assert groups[0] and groups[1] and not groups[0] & groups[1]


def test_equal_files_are_on_one_side(tmp_path):
    write(tmp_path, 12)
    for path in list((tmp_path / "dark").iterdir()):
        (path.parent / f"copy-{path.name}").write_bytes(path.read_bytes())
    train, held_out = training.split(IMAGES.training_data(OPTIONS, tmp_path), 0.3)
    assert len(held_out) and not set(train.digests) & set(held_out.digests)


def test_an_image_may_have_several_labels(tmp_path):
    write(tmp_path / "all", 4)
    text = "path,label\nall/dark/0.jpg,dark; light\nall/light/1.png,light\nall/dark/2.png,dark\nall/light/3.jpg,light\n"
    options = OPTIONS | {"multi_label": True}
    data = IMAGES.training_data(options, table(tmp_path, text))
    assert data.labels.tolist() == [[1, 1], [0, 1], [1, 0], [0, 1]] and data.histogram() == {"dark": 2, "light": 3}
    update = IMAGES.local_update(IMAGES.initial_weights(options, 1), data, options, CONFIG, lambda *_: True)
    assert {"val_accuracy", "val_loss"} <= update.metrics.keys()


@pytest.mark.parametrize(("mode", "most"), [("L", 255), ("I;16", 65_535)])
def test_grey_images_of_8_and_16_bits_are_scaled_alike(tmp_path, mode, most):
    values = np.linspace(0, most, 256).reshape(16, 16)
    path = tmp_path / "x.png"
    Image.fromarray(values.astype(np.uint16 if most > 255 else np.uint8)).save(path)
    found = image_files.pixels(str(path), 16, grey=True)
    assert found.shape == (3, 16, 16) and np.allclose(found[0], values / most, atol=0.01)
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "CMYK"])
def test_other_kinds_of_images_are_read(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    image(1, 1, mode=mode).save(path)
    for grey in (True, False):
        found = image_files.pixels(str(path), 16, grey=grey)
        assert found.shape == (3, 16, 16) and 0 <= found.min() <= found.max() <= 1


# ---- refusals


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\nx,dark\n", r"list\.csv has no column 'path'. It has file, label"),
        ("path,label\nnone.png,dark\n", r"list\.csv, line 2: there is no image 'none\.png'"),
        ("path,label\nall/dark/0.jpg,dark\nall/dark/2.png,grey\n", "line 3: the label 'grey' is no class"),
        ("path,label\nlist.csv,dark\n", r"line 2: there is no image 'list\.csv'"),
        (f"path,label\n{'a' * 5000}.png,dark\n", rf"list\.csv, line 2: there is no image '{'a' * 60}'"),
        ("path,label\n", "has no image"),
        ("path,label\n\n,\n", "line 3: there is no image ''"),
        ("path,label\nall/dark/0.jpg,dark,x,y\n", r"list\.csv, line 2 has 2 values more than there are columns"),
        ("path,label,path\n", r"list\.csv has the column 'path' twice"),
        ("", "has no column 'path'. It is empty"),
    ],
)
def test_a_wrong_table_is_named_with_the_line(tmp_path, text, words):
    write(tmp_path / "all", 4)
    with pytest.raises(DataError, match=words):
        IMAGES.training_data(OPTIONS, table(tmp_path, text))


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="--data DIR"):
        IMAGES.training_data(OPTIONS, None)
    with pytest.raises(DataError, match="has no image"):
        IMAGES.training_data(OPTIONS, tmp_path)
    write(tmp_path)
    (tmp_path / "grey").mkdir()
    with pytest.raises(DataError, match="grey is called like no class. The classes are dark, light"):
        IMAGES.training_data(OPTIONS, tmp_path)
    with pytest.raises(DataError, match="grey has no image"):
        IMAGES.training_data(OPTIONS | {"classes": "dark,light,grey"}, tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"several CSV files: a\.csv, b\.csv"):
        IMAGES.training_data(OPTIONS, tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in ("none", "file"):
        with pytest.raises(DataError, match=f"The folder .*{place} cannot be read"):
            IMAGES.training_data(OPTIONS, tmp_path / place)


def test_hidden_files_are_left_out_and_others_told(tmp_path):
    write(tmp_path, 4)
    (tmp_path / "dark" / "._0.png").write_bytes(b"no image")
    assert IMAGES.training_data(OPTIONS, tmp_path).notes == ()
    (tmp_path / "dark" / "scan.tif").touch()
    (note,) = IMAGES.training_data(OPTIONS, tmp_path).notes
    assert note == "One file is no image (.png, .jpg, .jpeg) and not read, such as dark/scan.tif."


def test_images_that_nothing_names_are_told(tmp_path):
    write(tmp_path, 4)
    (tmp_path / "dark" / "2.png").rename(tmp_path / "2.png")
    (note,) = IMAGES.training_data(OPTIONS, tmp_path).notes
    assert note == "One file is in no folder of a class and not read, such as 2.png."
    rows = "path,label\n2.png,dark\n./light/1.png,light\n"
    (note,) = IMAGES.training_data(OPTIONS, table(tmp_path, rows)).notes
    assert note == "2 files are not in list.csv and not read, such as dark/0.jpg."


def test_a_column_that_may_be_meant_as_group_is_told(tmp_path):
    write(tmp_path / "all", 2)
    rows = "path,label,patient,Group\nall/dark/0.jpg,dark,1,1\nall/light/1.png,light,1,2\n"
    (note,) = IMAGES.training_data(OPTIONS, table(tmp_path, rows)).notes
    assert note.endswith(
        "list.csv has no column 'group', so each row is held out by itself. These columns are not read: patient, Group."
    )


# ---- copies


def copy(folder, of, to):
    (folder / to).parent.mkdir(parents=True, exist_ok=True)
    (folder / to).write_bytes((folder / of).read_bytes())


def test_copies_are_counted_and_those_with_another_label_named(tmp_path):
    write(tmp_path, 4)
    copy(tmp_path, "dark/0.jpg", "dark/1.jpg")
    copy(tmp_path, "dark/2.png", "light/2.png")
    counted, named = IMAGES.training_data(OPTIONS, tmp_path).notes
    assert counted == "2 of 6 images are copies of others."
    assert "dark/2.png and " in named and named.endswith("light/2.png are the same image, with different labels.")


def test_of_copies_in_a_table_the_lines_are_named(tmp_path):
    write(tmp_path / "all", 2)
    rows = "path,label\nall/dark/0.jpg,dark\nall/dark/0.jpg,light\nall/light/1.png,light\n"
    counted, named = IMAGES.training_data(OPTIONS, table(tmp_path, rows)).notes
    assert counted == "1 of 3 images is a copy of another."
    assert "list.csv, line 2 and " in named and "list.csv, line 3 are the same image, with different" in named


def test_groups_that_share_an_image_are_named(tmp_path):
    write(tmp_path, 4, inner="p1")
    copy(tmp_path, "dark/p1/0.jpg", "dark/p2/9.jpg")
    copy(tmp_path, "dark/p1/0.jpg", "dark/8.jpg")
    counted, *named = IMAGES.training_data(OPTIONS, tmp_path).notes
    assert counted == "2 of 6 images are copies of others." and len(named) == 2
    for place, note in zip(("dark/p1/0.jpg", "p2/9.jpg"), named, strict=True):
        assert place in note and note.endswith(
            "in different groups: a model may be measured on one and trained on the other."
        )


def test_of_many_notes_a_few_are_said():
    said = copies.notes(["a", "b", "c", "d", "e", "f"], ["x"] * 6, [0, 1, 1, 1, 1, 1], [""] * 6, "image")
    assert len(said) == 1 + copies.MOST_NOTES + 1 and said[-1] == "The same is so 2 times more."


# ---- files


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["PNG", "JPEG"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(1, 700),
)
def test_a_damaged_file_is_an_image_or_named(tmp_path_factory, form, changes, length):
    path = tmp_path_factory.mktemp("damaged") / f"x.{form.lower()}"
    image(1, 1, size=12).save(path, form)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[:length])
    try:
        found = image_files.pixels(str(path), 16, grey=False)
    except DataError as error:
        assert str(error).startswith(f"{path} cannot be read as an image: ")
    else:
        assert found.shape == (3, 16, 16) and np.isfinite(found).all()


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"no image at all", "its beginning is that of no image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "its beginning is that of no image"),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path, monkeypatch, workers, content, reason):
    monkeypatch.setenv(image_loading.WORKERS, workers)
    write(tmp_path, 6)
    (tmp_path / "dark" / "broken.png").write_bytes(content)
    data = IMAGES.training_data(OPTIONS, tmp_path)
    with pytest.raises(DataError, match=rf"broken\.png cannot be read as an image: {reason}") as refused:
        IMAGES.local_update(IMAGES.initial_weights(OPTIONS, 1), data, OPTIONS, CONFIG, lambda *_: True)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_image_that_a_table_names_is_told_with_the_line_of_the_table(tmp_path, monkeypatch, workers):
    monkeypatch.setenv(image_loading.WORKERS, workers)
    write(tmp_path / "all", 6)
    (tmp_path / "all" / "broken.png").write_bytes(b"no image at all")
    rows = ["path,label", "all/dark/0.jpg,dark", "all/broken.png,light", *(f"all/light/{n}.png,light" for n in (1, 5))]
    data = IMAGES.training_data(OPTIONS, table(tmp_path, "\n".join(rows)))
    reason = "cannot be read as an image: its beginning is that of no image."
    with pytest.raises(DataError) as refused:
        IMAGES.local_update(IMAGES.initial_weights(OPTIONS, 1), data, OPTIONS, CONFIG, lambda *_: True)
    assert str(refused.value) == f"{tmp_path}/list.csv, line 3: {tmp_path}/all/broken.png {reason}"


def test_the_line_of_an_image_is_that_of_its_example_in_each_part_of_the_data(tmp_path):
    write(tmp_path / "all", 4)
    rows = ["path,label", "all/dark/0.jpg,dark", "all/light/1.png,light", "all/dark/2.png,dark"]
    data = IMAGES.training_data(OPTIONS, table(tmp_path, "\n".join(rows))).subset(np.array([2, 0]))
    assert [place.rpartition("list.csv, ")[2] for place in data.places] == ["line 4", "line 2"]
    (tmp_path / "all" / "dark" / "0.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"list\.csv, line 2: .*0\.jpg cannot be read as an image: it is empty"):
        features(data, look())


@pytest.mark.parametrize("named", [True, False])
def test_an_image_that_may_not_be_read_is_named(tmp_path, monkeypatch, named):
    write(tmp_path, 2)
    before = Path.open

    def closed(path, *rest, **more):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied")
        return before(path, *rest, **more)

    if named:
        table(tmp_path, "path,label\ndark/0.jpg,dark\nlight/1.png,light\n")
    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(DataError) as refused:
        IMAGES.training_data(OPTIONS, tmp_path)
    line = f"{tmp_path}/list.csv, line 3: " if named else ""
    assert str(refused.value) == f"{line}{tmp_path}/light/1.png cannot be read: Permission denied."


def of_size(path, width, height):
    """A PNG file that says so and has nothing in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b"")
    chunks = [
        struct.pack(">I", len(rest)) + kind + rest + struct.pack(">I", zlib.crc32(kind + rest)) for kind, rest in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def test_a_huge_image_is_named_and_no_warning_of_a_library_is_shown(tmp_path, recwarn):
    warnings.simplefilter("always")
    with pytest.raises(DataError, match=r"x\.png cannot be read as an image: it has more than 178,956,970 pixels\.$"):
        image_files.pixels(str(of_size(tmp_path / "x.png", 60_000, 60_000)), 16, grey=False)
    with pytest.raises(DataError, match=r"x\.png cannot be read as an image: image file is truncated"):
        image_files.pixels(str(of_size(tmp_path / "x.png", 11_000, 11_000)), 16, grey=False)
    assert not len(recwarn)


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_is_named(tmp_path, kind):
    write(tmp_path, 4)
    path = tmp_path / "dark" / "x.png"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("gone.png")
    reason = "it is no file" if kind == "pipe" else "No such file or directory"
    with pytest.raises(DataError, match=rf"dark/x\.png cannot be read: {reason}\."):
        IMAGES.training_data(OPTIONS, tmp_path)


def test_a_cut_off_image_is_named(tmp_path):
    write(tmp_path, 6)
    path = tmp_path / "light" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"1\.png cannot be read as an image"):
        features(IMAGES.training_data(OPTIONS, tmp_path), look())


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"classes": "cat"}, "classes", "must be at least two different names"),
        ({"classes": "cat,cat"}, "classes", "must be at least two different names"),
        ({"network": "vit_b_16", "size": 50}, "size", "must be a multiple of 16"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options, field, words):
    with pytest.raises(OptionError, match=words) as refused:
        IMAGES.initial_weights(options, 1)
    assert refused.value.field == field


# ---- networks


@pytest.mark.parametrize(
    ("network", "normalization"),
    [
        ("small_cnn", "group"),
        ("small_cnn", "batch"),
        ("resnet18", "group"),
        ("resnet18", "batch"),
        ("mobilenet_v3_small", "group"),
        ("efficientnet_b0", "batch"),
    ],
)
def test_buffers_are_those_of_batch_normalization(network, normalization):
    options = OPTIONS | {"network": network, "normalization": normalization, "size": 32}
    names = IMAGES.buffers(options)
    assert bool(names) == (normalization == "batch")
    model = IMAGES.initial_weights(options, 1)
    assert set(names) <= set(model) and all(name.rpartition(".")[2].startswith(("running", "num")) for name in names)


def test_a_vision_transformer_is_made_for_the_size():
    model = IMAGES.initial_weights(OPTIONS | {"network": "vit_b_16", "size": 32}, 1)
    assert model["encoder.pos_embedding"].shape == (1, 5, 768)


# ---- training


def trained(data, workers, monkeypatch, **options):
    monkeypatch.setenv(image_loading.WORKERS, str(workers))
    chosen = OPTIONS | options
    update = IMAGES.local_update(IMAGES.initial_weights(chosen, 1), data, chosen, CONFIG, lambda *_: True)
    joined = b"".join(name.encode() + update.delta[name].tobytes() for name in sorted(update.delta))
    return hashlib.sha256(joined + json.dumps(update.metrics, sort_keys=True).encode()).hexdigest()


def test_the_same_work_gives_the_same_bytes_with_any_number_of_processes(tmp_path, monkeypatch):
    data = IMAGES.training_data(OPTIONS, write(tmp_path))
    plain = trained(data, 0, monkeypatch)
    changed = trained(data, 0, monkeypatch, augmentation="flip_shift")
    assert plain != changed
    assert changed == trained(data, 2, monkeypatch, augmentation="flip_shift")


def test_an_image_is_changed_otherwise_in_each_epoch_and_never_when_measured(tmp_path):
    data = IMAGES.training_data(OPTIONS, write(tmp_path, 6))
    moving = look(augmentation="flip_shift")
    first, again, next_ = (features(data, moving, draw) for draw in ((1, 0), (1, 0), (1, 1)))
    assert np.array_equal(first, again) and not np.array_equal(first, next_)
    assert np.array_equal(features(data, moving), features(data, look()))
    assert not np.array_equal(first, features(data, look()))


def test_a_mirrored_image_has_the_same_columns():
    picture = np.arange(3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4)
    found = [image_loading.changed(picture, np.random.RandomState(seed), shifts=False) for seed in range(20)]
    assert {one.tobytes() for one in found} == {picture.tobytes(), picture[:, :, ::-1].tobytes()}


def test_it_learns_and_counts_who_was_taken_for_what(tmp_path):
    data = IMAGES.training_data(OPTIONS, write(tmp_path, 60))
    model = IMAGES.initial_weights(OPTIONS, 1)
    for seed in range(3):
        update = IMAGES.local_update(model, data, OPTIONS, TrainConfig(4, 8, 0.05, seed), lambda *_: True)
        model = {name: model[name] + update.delta[name] for name in model}
    found = IMAGES.local_evaluation(model, data, OPTIONS, CONFIG, lambda *_: True)
    assert found.metrics["accuracy"] > 0.9 and np.sum(found.counts["confusion"]) == found.num_examples


def test_the_server_has_no_test_set():
    assert IMAGES.evaluate(IMAGES.initial_weights(OPTIONS, 1), OPTIONS) == {}


def test_the_fingerprint_follows_files_and_labels(tmp_path):
    data = IMAGES.training_data(OPTIONS, write(tmp_path, 6))
    assert data.fingerprint("a") == data.fingerprint("a") != data.fingerprint("b")
    assert data.fingerprint("a") != data.subset(np.arange(5)).fingerprint("a")
