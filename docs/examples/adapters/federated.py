"""Trains a small adapter behind a large network that stays as it is, with PyTorch: python plain.py 0."""

import sys

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import clientagent

torch.manual_seed(0)
site = int(sys.argv[1])  # of two: this one has every second digit
images, labels = (torch.tensor(part[site::2]) for part in load_digits(return_X_y=True))
images = images.float() / 16
train = TensorDataset(images[:700], labels[:700])
loader = DataLoader(train, batch_size=32, shuffle=True)
large = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU()).requires_grad_(False)
adapter = torch.nn.Sequential(torch.nn.Linear(512, 8, bias=False), torch.nn.Linear(8, 10))
model = torch.nn.Sequential(large, adapter)
optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)


def measure(model):
    with torch.no_grad():
        right = model(images[700:]).argmax(dim=1) == labels[700:]
    return {"accuracy": right.float().mean().item(), "num_examples": len(right)}


for work in clientagent.works("adapter", initial=model, only="trainable", evaluate=measure, measures=["accuracy"]):
    work.load_into(model)
    for batch, target in loader:
        loss = torch.nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        work.log(train_loss=loss)
    work.send(model, num_examples=len(train))
print(measure(model))
