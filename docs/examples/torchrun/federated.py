"""Trains with several processes on one site's digits: torchrun --nproc-per-node 2 plain.py 0."""

import sys

import torch
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import clientagent

torch.distributed.init_process_group("gloo")  # "nccl" where each process has a GPU
rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
torch.manual_seed(0)
site = int(sys.argv[1])  # of two: this one has every second digit
images, labels = (torch.tensor(part[site::2]) for part in load_digits(return_X_y=True))
images = images.float() / 16
part = slice(rank, 700, size)  # of the site's training data, this process's
loader = DataLoader(TensorDataset(images[part], labels[part]), batch_size=16, shuffle=True)
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
together = DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def measure(model):
    with torch.no_grad():
        right = model(images[700:]).argmax(dim=1) == labels[700:]
    return {"accuracy": right.float().mean().item(), "num_examples": len(right)}


for work in clientagent.works("digits-with-torchrun", initial=model, evaluate=measure, measures=["accuracy"]):
    work.load_into(model)
    for batch, target in loader:
        loss = torch.nn.functional.cross_entropy(together(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        work.log(train_loss=loss)
    work.send(model, num_examples=700)
print(measure(model))
torch.distributed.destroy_process_group()
