"""The script in docs/coming-from.md that calls a compute package of FEDn, beside a package's `train.py`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from federation.fl import weights
from federation.fl.workloads.workload import source_digest
from tests.clientagent.fake_server import CODE, FakeServer
from tests.clientagent.test_process import ROOT, Process

# As the package of FEDn's own example has it: a file in, a file out, and its examples beside that.
TRAIN = """
import json
import numpy as np


def train(in_model_path, out_model_path, data_path=None, batch_size=32, epochs=1, lr=0.01):
    arrays = np.load(in_model_path)
    np.savez_compressed(out_model_path, **{name: arrays[name] - lr * epochs for name in arrays.files})
    with open(out_model_path + "-metadata", "w") as file:
        json.dump({"num_examples": 11, "epochs": epochs}, file)
"""


def test_a_compute_package_trains_unchanged(tmp_path: Path):
    (script,) = re.findall(r"<!-- a script beside a .*? -->\n```python\n(.*?)```", _document(), re.DOTALL)
    (tmp_path / "federated.py").write_text(script)
    (tmp_path / "train.py").write_text(TRAIN)
    seed = {"0": np.ones((2, 3), np.float32), "1": np.zeros(3, np.float32)}
    np.savez(tmp_path / "seed.npz", **seed)
    with FakeServer() as server:
        source = source_digest(str(tmp_path / "federated.py"), str(tmp_path / "train.py"))
        begins = server.offer_to_script(source, seed, name="mnist-from-fedn", kind="initialise")
        trains = server.offer_to_script(source, seed, name="mnist-from-fedn")
        flags = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
        process = Process("federated.py", *flags, folder=tmp_path, environment={"PYTHONPATH": str(ROOT)})
        try:
            server.wait_until(lambda: trains.status != "open")
        finally:
            process.popen.kill()
            process.end()
    assert (begins.status, trains.status) == ("reported", "reported"), process.said
    (tmp_path / "sent").write_bytes(trains.update)
    np.testing.assert_allclose(weights.load(tmp_path / "sent")["0"], np.full((2, 3), -0.1), rtol=1e-6)
    assert weights.read_header(tmp_path / "sent").metadata["num_examples"] == "11"


def _document() -> str:
    return (ROOT / "docs" / "coming-from.md").read_text()
