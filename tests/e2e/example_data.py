"""Small data of the kinds that docs/examples train on, and the words of the command line that name them."""

from __future__ import annotations

import csv
import random
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SITES = ("north", "south")
COLUMNS = ("age", "pressure", "glucose", "emergency", "days", "readmitted")


def numbers(folder: Path) -> list[list[str]]:
    """Nothing but the sites' numbers."""
    return [["0"], ["1"]]


def images(folder: Path) -> list[list[str]]:
    """Folders of dark and bright images."""
    draw = np.random.default_rng(0)
    for site in SITES:
        for part, count in (("train", 8), ("val", 4)):
            for name, light in (("clear", 60), ("opaque", 160)):
                there = folder / site / part / name
                there.mkdir(parents=True)
                for number in range(count):
                    pixels = draw.integers(light, light + 60, (40, 40), np.uint8)
                    Image.fromarray(pixels).save(there / f"{number}.png")
    return [[str(folder / site)] for site in SITES]


def tables(folder: Path) -> list[list[str]]:
    """Patients whose columns are in another order at each site, with values that are missing."""
    for order, site in enumerate(SITES):
        draw = random.Random(site)
        columns = COLUMNS[order:] + COLUMNS[:order]
        with (folder / f"{site}.csv").open("w", newline="") as file:
            rows = csv.DictWriter(file, columns)
            rows.writeheader()
            rows.writerows(_patient(draw) for _ in range(400))
    return [[str(folder / f"{site}.csv")] for site in SITES]


def _patient(draw: random.Random) -> dict[str, object]:
    age, pressure, glucose, emergency = draw.gauss(60, 15), draw.gauss(130, 15), draw.gauss(6, 1), draw.random() < 0.4
    risk = (age - 60) / 15 + (glucose - 6) + emergency
    days, back = max(0.5, 3 + risk + draw.gauss(0, 1)), int(risk + draw.gauss(0, 0.5) > 0.4)
    seen = {
        "age": f"{age:.0f}",
        "pressure": f"{pressure:.0f}",
        "glucose": f"{glucose:.1f}",
        "emergency": int(emergency),
    }
    told = {name: "" if draw.random() < 0.15 else value for name, value in seen.items()}
    return told | {"days": f"{days:.1f}", "readmitted": back}


def mnist(folder: Path) -> list[list[str]]:
    """scikit-learn's digits in MNIST's files."""
    pixels, labels = load_digits(return_X_y=True)
    large = np.kron(pixels.reshape(-1, 8, 8) * 15, np.ones((3, 3))).astype(np.uint8)
    whole = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, part in (("train", slice(0, 400)), ("t10k", slice(400, 500))):
        _write_idx(raw / f"{name}-images-idx3-ubyte", whole[part])
        _write_idx(raw / f"{name}-labels-idx1-ubyte", labels[part].astype(np.uint8))
    return [[str(folder), "0"], [str(folder), "1"]]


def _write_idx(path: Path, values: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">I{values.ndim}I", 0x800 + values.ndim, *values.shape) + values.tobytes())
