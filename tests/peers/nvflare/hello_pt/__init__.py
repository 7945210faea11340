"""NVFlare's own quickstart: `client.py` and `model.py` are its files from examples/hello-world/hello-pt, unchanged.

`write` puts a copy into a folder in which other lines load the data. They are NVIDIA's, under the Apache License 2.0.
"""

from __future__ import annotations

import shutil
from pathlib import Path

HERE = Path(__file__).parent
DATA = '''
"""This site's part of scikit-learn's digits, as colour pictures of 32 x 32."""

import os

import torch
from sklearn.datasets import load_digits


def load_data(count):
    part, parts = map(int, os.environ["PART"].split("/"))
    images, labels = (torch.tensor(one[part::parts]) for one in load_digits(return_X_y=True))
    pictures = torch.nn.functional.interpolate(images.float().reshape(-1, 1, 8, 8) / 16, size=32)
    rows = [(one.expand(3, 32, 32), int(label)) for one, label in zip(pictures, labels)]
    return (rows[:400] * (count // 400 + 1))[:count], rows[400:]
'''
IMPORTS = ("import torchvision\n", "from torchvision.transforms import Compose, Normalize, ToTensor\n")
BEGIN, END = "    # Data transforms\n", "    train_loader = "


def write(folder: Path) -> Path:
    """The client in a folder, as it is but for the lines that load its data. Returns its path."""
    folder.mkdir(parents=True)
    shutil.copy(HERE / "model.py", folder)
    (folder / "digits_of_site.py").write_text(DATA)
    text = (HERE / "client.py").read_text()
    for line in IMPORTS:
        assert text.count(line) == 1
        text = text.replace(line, "from digits_of_site import load_data\n" if line is IMPORTS[0] else "")
    assert text.count(BEGIN) == text.count(END) == 1
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    (folder / "client.py").write_text(f"{before}    train_set, test_set = load_data(args.train_size)\n\n{after}")
    return folder / "client.py"
