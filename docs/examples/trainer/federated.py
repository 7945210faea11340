"""Trains a small BERT on one site's sentences, with a Hugging Face Trainer: python plain.py 0."""

import random
import sys
import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

import clientagent

WORDS = ["the", "patient", "feels", "is", "much", "a", "little", "better", "worse", "today", "again", "well", "ill"]
random.seed(sys.argv[1])  # each site has sentences of its own
sentences = [[random.choice(WORDS) for _ in range(8)] for _ in range(200)]
labels = [int(s.count("better") + s.count("well") > s.count("worse") + s.count("ill")) for s in sentences]
tokens = [[WORDS.index(word) for word in sentence] for sentence in sentences]
examples = [{"input_ids": one, "labels": label} for one, label in zip(tokens, labels, strict=True)]
train, held_out = examples[:160], examples[160:]
torch.manual_seed(0)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
config = BertConfig(vocab_size=len(WORDS), **sizes)
model = BertForSequenceClassification(config)
folder = tempfile.mkdtemp()
arguments = TrainingArguments(folder, num_train_epochs=1, logging_steps=1, save_strategy="no", report_to="none")


def measure(model):
    logits = Trainer(model=model, args=arguments).predict(held_out).predictions
    right = logits.argmax(axis=1) == [one["labels"] for one in held_out]
    return {"accuracy": right.mean(), "num_examples": len(held_out)}


class Follow(TrainerCallback):
    def on_log(self, arguments, state, control, logs, **_):
        work.log(logs, step=state.global_step)

    def on_step_end(self, arguments, state, control, **_):
        control.should_training_stop |= work.dropped


for work in clientagent.works("bert", initial=model, evaluate=measure, measures=["accuracy"]):
    work.load_into(model)
    trainer = Trainer(model=model, args=arguments, train_dataset=train, callbacks=[Follow()])
    trainer.train()
    work.send(model, num_examples=len(train))
print(measure(model))
