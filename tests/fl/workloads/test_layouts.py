from typing import Any

import pytest

from federation.fl import weights
from federation.fl.files.uploaded import misfit
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.layouts import layout


@pytest.mark.parametrize(
    "name, options",
    [
        ("digits", {}),
        ("threes_and_sevens", {"download": False}),
        ("images", {"classes": "a,b,c"}),
        ("table", {"numbers": "a,b", "categories": "c", "classes": "x,y,z"}),
        ("table", {"network": "linear"}),
        ("table_regression", {}),
        ("text", {"vocabulary": 32}),
        ("text", {"tokens": "bytes", "classes": "a,b,c"}),
        ("text", {"network": "transformer", "trained": "lora", "width": 8, "rank": 3}),
        ("mnist", {"network": "2nn"}),
        ("mnist", {"network": "cnn"}),
        ("fashion_mnist", {"network": "cnn"}),
        ("synthetic", {"num_parameters": 12}),
        ("synthetic", {"num_parameters": 1}),
    ],
)
def test_a_layout_is_that_of_the_model_that_its_workload_makes(name: str, options: dict[str, Any], tmp_path):
    workload = WORKLOADS[name]
    if workload.needs_torch:
        pytest.importorskip("torch")
    workload.write_initial(tmp_path / "model", options, 1)
    expected = layout(name, {option.name: option.default for option in workload.options} | options)
    assert expected is not None and misfit(expected, weights.read_header(tmp_path / "model")) == ""


def test_every_workload_has_one():
    for name, workload in WORKLOADS.items():
        assert layout(name, {option.name: option.default for option in workload.options}) is not None


def test_of_another_workload_nothing_is_known():
    assert layout("hospital", {}) is None
