"""Adapts a small transformer to one site's sentences by LoRA (Hu et al. 2021, arXiv:2106.09685): python plain.py 0.

The transformer itself stays as it is. Its feed-forward layers get adapters of rank 4, and with the head these are all
that is trained.
"""

import random
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import clientagent


class LoRA(nn.Module):
    def __init__(self, layer, rank=4):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(WORDS), 32)
        layers = [nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True) for _ in range(2)]
        self.transformer = nn.Sequential(*layers)
        self.requires_grad_(False)  # a checkpoint would be loaded here
        for layer in layers:
            layer.linear1, layer.linear2 = LoRA(layer.linear1), LoRA(layer.linear2)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens):
        return self.head(self.transformer(self.embed(tokens)).mean(dim=1))


torch.backends.mha.set_fastpath_enabled(False)  # it would pass over the adapters
WORDS = ["the", "patient", "feels", "is", "much", "a", "little", "better", "worse", "today", "again", "well", "ill"]
random.seed(sys.argv[1])  # each site has sentences of its own
sentences = [[random.choice(WORDS) for _ in range(8)] for _ in range(400)]
labels = torch.tensor([int(s.count("better") + s.count("well") > s.count("worse") + s.count("ill")) for s in sentences])
tokens = torch.tensor([[WORDS.index(word) for word in sentence] for sentence in sentences])
loader = DataLoader(TensorDataset(tokens[80:], labels[80:]), batch_size=16, shuffle=True)
torch.manual_seed(0)
model = Classifier()
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)


def measure(model):
    model.eval()
    with torch.no_grad():
        right = model(tokens[:80]).argmax(dim=1) == labels[:80]
    model.train()
    return {"accuracy": right.float().mean().item(), "num_examples": 80}


for work in clientagent.works("lora", initial=model, only="trainable", evaluate=measure, measures=["accuracy"]):
    work.load_into(model)
    for batch, target in loader:
        loss = nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        work.log(train_loss=loss)
    work.send(model, num_examples=len(loader.dataset))
print(measure(model))
