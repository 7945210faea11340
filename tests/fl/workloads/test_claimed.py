"""What a place says of its workload before its code runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.workloads import claimed, foreign
from federation.fl.workloads.declaration import NAME
from federation.fl.workloads.foreign import Place, Unusable
from tests.fl.workloads.own_files import write_lines, write_numpy
from tests.properties import PROPERTY


def name_of(tmp_path: Path, source: str, file: str = "heart_rate.py") -> str:
    (tmp_path / file).write_text(source)
    return claimed.of(Place(str(tmp_path / file))).name


def test_it_is_what_the_workload_says_once_it_is_loaded(tmp_path):
    for path in (write_lines(tmp_path), write_numpy(tmp_path)):
        claim, loaded = claimed.of(Place(str(path))), foreign.load(Place(str(path))).workload
        assert (claim.name, claim.digest(), claim.title) == (loaded.name, loaded.digest(), path.name)


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    name, title = 'stays', 'Stays'\nWORKLOAD = A\n",
        "class A:\n    name: str = 'stays'\nWORKLOAD = A()\n",
        "class B:\n    name = 'other'\nclass A:\n    name = 'stays'\nWORKLOAD: object = A\n",
    ],
)
def test_a_name_is_read_however_it_is_assigned(tmp_path, source):
    assert name_of(tmp_path, source) == "stays"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x = (",
        "class A:\n    name = f'{1}'\nWORKLOAD = A",
        "class A:\n    name = 1\nWORKLOAD = A",
        "WORKLOAD = make()",
        "name = 'x'",
        "\0",
    ],
)
def test_otherwise_it_is_the_files(tmp_path, source):
    assert name_of(tmp_path, source) == "heart-rate"


@pytest.mark.parametrize(
    ("file", "name"), [("My File.py", "my-file"), ("1st.py", claimed.UNNAMED), ("é.py", "unnamed")]
)
def test_a_file_whose_name_is_none_has_one_that_can_be_written(tmp_path, file, name):
    assert name_of(tmp_path, "", file) == name


@PROPERTY
@given(st.binary(max_size=200))
def test_whatever_a_file_holds_there_is_a_name(tmp_path_factory, source: bytes):
    path = tmp_path_factory.mktemp("claims") / "any.py"
    path.write_bytes(source)
    assert NAME.fullmatch(claimed.of(Place(str(path))).name)


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(Unusable, match="gone.py cannot be read"):
        claimed.of(Place(str(tmp_path / "gone.py")))


def test_a_package_is_called_as_its_entry_point(tmp_path, monkeypatch):
    root = tmp_path / "ward_claims"
    root.mkdir()
    (root / "__init__.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    claim = claimed.of(Place("ward_claims.models:Ward", "ward", "heart-rate"))
    assert claim.name == "heart-rate" and len(claim.digest()) == 64
