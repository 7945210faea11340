"""Trains a convolutional network on one site's part of MNIST, with torchvision: python plain.py data 0.

The folder holds MNIST/raw/*-ubyte, as torchvision.datasets.MNIST leaves it.
"""

import sys

import torch
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

import clientagent

folder, site = sys.argv[1], int(sys.argv[2])  # of two: this one has every second image
train, test = MNIST(folder, train=True, transform=ToTensor()), MNIST(folder, train=False, transform=ToTensor())
loader = DataLoader(Subset(train, range(site, len(train), 2)), batch_size=32, shuffle=True)
model = torch.nn.Sequential(
    torch.nn.Conv2d(1, 16, 5),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(4),
    torch.nn.Flatten(),
    torch.nn.Linear(16 * 6 * 6, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def measure(model):
    with torch.no_grad():
        right = [model(images).argmax(dim=1) == labels for images, labels in DataLoader(test, batch_size=500)]
    return {"accuracy": torch.cat(right).float().mean().item(), "num_examples": len(test)}


for work in clientagent.works("mnist-digits", initial=model, evaluate=measure, measures=["accuracy"]):
    work.load_into(model)
    for images, labels in loader:
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        work.log(train_loss=loss)
    work.send(model, num_examples=len(loader.dataset))
print(measure(model))
