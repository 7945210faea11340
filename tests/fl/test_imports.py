import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "modules",
    [
        "federation.fl.workloads",
        "federation.fl.aggregation, federation.fl.strategies, federation.fl.files.updates, federation.fl.partition",
        "federation.fl.evaluation",
    ],
)
def test_neither_torch_nor_scikit_learn_nor_django_is_imported(modules):
    heavy = {"torch", "torchvision", "sklearn", "scipy", "django"}
    code = f"import {modules}, sys; print(sorted({heavy} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


def test_synthetic_needs_numpy_alone():
    code = """
import sys
from federation.fl import workloads
from federation.fl.workloads import TrainConfig
synthetic, options = workloads.get("synthetic"), {"num_parameters": 10}
base = synthetic.initial_weights(options, 1)
data = synthetic.training_data(options, None)
synthetic.local_update(base, data, options, TrainConfig(1, 1, 0.1, 1), lambda *_: True)
synthetic.evaluate(base, options), synthetic.digest(), [w.digest() for w in workloads.WORKLOADS.values()]
print(sorted({"torch", "sklearn", "scipy", "django"} & set(sys.modules)))
"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
