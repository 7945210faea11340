"""Trains an adapter behind layers that never leave the site, with PyTorch: trainable.py SITE.

Dropout, the loader's order and the optimizer's momentum are what a kill could change. Only site 0 makes the first
model.
"""

import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

import clientagent

torch.manual_seed(0)
site = int(sys.argv[1])
large = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()).requires_grad_(False)
adapter = torch.nn.Sequential(torch.nn.Linear(64, 2048, bias=False), torch.nn.Dropout(0.1), torch.nn.Linear(2048, 10))
model = torch.nn.Sequential(large, adapter)
torch.manual_seed(1 + site)
train = TensorDataset(torch.randn(64, 64), torch.randint(10, (64,)))
loader = DataLoader(train, batch_size=16, shuffle=True)


def measure(model):
    with torch.no_grad():
        outputs = model.eval()(train.tensors[0])
    model.train()
    loss = torch.nn.functional.cross_entropy(outputs, train.tensors[1])
    return {"loss": loss.item(), "num_examples": len(train) + site}


who = {} if site else {"initial": model, "evaluate": measure}
for work in clientagent.works("trainable", only="trainable", measures=["loss"], **who):
    work.load_into(model)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.05, momentum=0.9)
    if work.state is not None:
        optimizer.load_state_dict(work.state)
    for features, labels in work.steps(loader):
        loss = torch.nn.functional.cross_entropy(model(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        work.log(train_loss=loss)
    work.next_state = optimizer.state_dict()
    work.send(model, num_examples=len(train) + site)
