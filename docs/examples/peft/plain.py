"""Adapts a small BERT to one site's sentences with LoRA by peft: python plain.py 0."""

import random
import sys

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertConfig, BertForSequenceClassification

WORDS = ["the", "patient", "feels", "is", "much", "a", "little", "better", "worse", "today", "again", "well", "ill"]
random.seed(sys.argv[1])  # each site has sentences of its own
sentences = [[random.choice(WORDS) for _ in range(8)] for _ in range(200)]
labels = torch.tensor([int(s.count("better") + s.count("well") > s.count("worse") + s.count("ill")) for s in sentences])
tokens = torch.tensor([[WORDS.index(word) for word in sentence] for sentence in sentences])
loader = DataLoader(TensorDataset(tokens[40:], labels[40:]), batch_size=16, shuffle=True)
torch.manual_seed(0)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
config = BertConfig(vocab_size=len(WORDS), **sizes)
large = BertForSequenceClassification(config)  # a real one comes from a checkpoint
model = get_peft_model(large, LoraConfig(r=4, target_modules=["query", "value"], modules_to_save=["classifier"]))
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)


def measure(model):
    model.eval()
    with torch.no_grad():
        right = model(tokens[:40]).logits.argmax(dim=1) == labels[:40]
    model.train()
    return {"accuracy": right.float().mean().item(), "num_examples": 40}


for _ in range(3):
    for batch, target in loader:
        loss = model(batch, labels=target).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(measure(model))
