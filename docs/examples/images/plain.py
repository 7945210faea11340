"""Trains a ResNet-18 on one site's folders of images, with torchvision: python plain.py data/north.

The folder holds train/CLASS/*.png and val/CLASS/*.png. All images of a patient are in one of the two.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

folder = Path(sys.argv[1])
to_tensor = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
augmented = transforms.Compose([transforms.RandomHorizontalFlip(), to_tensor])
train, val = ImageFolder(folder / "train", augmented), ImageFolder(folder / "val", to_tensor)
loader = DataLoader(train, batch_size=8, shuffle=True)
model = models.resnet18(num_classes=len(train.classes))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def measure(model):
    model.eval()
    with torch.no_grad():
        right = [model(images).argmax(dim=1) == labels for images, labels in DataLoader(val, batch_size=8)]
    model.train()
    return {"accuracy": torch.cat(right).float().mean().item(), "num_examples": len(val)}


for _ in range(5):
    for images, labels in loader:
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(measure(model))
