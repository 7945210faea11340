"""Trains an array with a momentum that stays at the site: momentum.py SITE. Only site 0 makes the first model."""

import sys

import numpy as np

import clientagent

site = int(sys.argv[1])
aim = np.random.default_rng(site).normal(size=150_000).astype(np.float32)
model = {"w": np.zeros_like(aim)}


def measure(model):
    return {"distance": np.abs(model["w"] - aim).mean(), "num_examples": 3 + site}


for work in clientagent.works("momentum", initial=None if site else model, evaluate=measure, measures=["distance"]):
    work.load_into(model)
    momentum = np.zeros_like(aim) if work.state is None else work.state
    for _ in work.steps(range(4)):
        momentum = 0.9 * momentum + np.random.random(aim.shape).astype(np.float32) * (aim - model["w"])
        model["w"] += 0.1 * momentum
        work.log(train_distance=np.abs(model["w"] - aim).mean())
    work.next_state = momentum
    work.send(model, num_examples=3 + site)
