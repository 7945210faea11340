"""Predicts from one site's table whether a patient comes back within a month: python plain.py north.csv.

The columns may be in any order, and values may be missing. The first layer scales them: a BatchNorm's statistics are
combined across sites, so that nobody has to agree on means and deviations before.
"""

import csv
import sys

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, TensorDataset

COLUMNS = ("age", "pressure", "glucose", "emergency")
with open(sys.argv[1], newline="") as file:
    rows = list(csv.DictReader(file))
values = np.array([[float(row[name] or "nan") for name in COLUMNS] for row in rows], np.float32)
missing = np.isnan(values)
values = np.where(missing, np.nanmedian(values, axis=0), values)
inputs = torch.tensor(np.hstack([values, missing]), dtype=torch.float32)  # that a value is missing may tell something
labels = torch.tensor([float(row["readmitted"]) for row in rows])
held_out = len(rows) // 5
loader = DataLoader(TensorDataset(inputs[held_out:], labels[held_out:]), batch_size=16, shuffle=True, drop_last=True)
model = torch.nn.Sequential(
    torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Flatten(0)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def measure(model):
    model.eval()
    with torch.no_grad():
        scores = model(inputs[:held_out])
    model.train()
    return {"auc": roc_auc_score(labels[:held_out], scores), "num_examples": held_out}


for _ in range(10):
    for batch, target in loader:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(measure(model))
