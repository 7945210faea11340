"""Fits a softmax regression to one site's digits, with NumPy alone: python plain.py 0."""

import sys

import numpy as np
from sklearn.datasets import load_digits

import clientagent

site = int(sys.argv[1])  # of two: this one has every second digit
images, labels = (part[site::2] for part in load_digits(return_X_y=True))
images = images / 16
model = {"weight": np.zeros((64, 10)), "bias": np.zeros(10)}


def probabilities(model, images):
    scores = np.exp(images @ model["weight"] + model["bias"])
    return scores / scores.sum(axis=1, keepdims=True)


def measure(model):
    right = probabilities(model, images[700:]).argmax(axis=1) == labels[700:]
    return {"accuracy": right.mean(), "num_examples": len(right)}


for work in clientagent.works("digits-in-numpy", initial=model, evaluate=measure, measures=["accuracy"]):
    work.load_into(model)
    error = probabilities(model, images[:700]) - np.eye(10)[labels[:700]]
    model["weight"] -= images[:700].T @ error / 700
    model["bias"] -= error.mean(axis=0)
    work.log(train_error=np.abs(error).mean())
    work.send(model, num_examples=700)
print(measure(model))
