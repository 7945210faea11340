"""A script with a model of a given size: large_script.py MEGABYTES {numpy,torch}. It changes each value a little."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

import clientagent  # noqa: E402

TENSORS = 16
megabytes, kind = int(sys.argv[1]), sys.argv[2]
size = megabytes * 10**6 // 4 // TENSORS
if kind == "torch":
    import torch

    model = torch.nn.ParameterList([torch.full((size,), float(number)) for number in range(TENSORS)])
else:
    model = {f"w{number}": np.full(size, number, np.float32) for number in range(TENSORS)}


def train() -> None:
    if kind == "torch":
        with torch.no_grad():
            for tensor in model:
                tensor.add_(0.5)
    else:
        for tensor in model.values():
            tensor += 0.5


def measure(given) -> dict[str, float]:
    first = next(iter(given.parameters() if kind == "torch" else given.values()))
    return {"first": float(first[0]), "num_examples": 1}


for work in clientagent.works("large", initial=model, evaluate=measure):
    work.load_into(model)
    train()
    work.log(loss=1.0)
    work.send(model, num_examples=1)
