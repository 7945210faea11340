"""Fits a linear classifier to one site's digits, with scikit-learn: python plain.py 0."""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

site = int(sys.argv[1])  # of two: this one has every second digit
images, labels = (part[site::2] for part in load_digits(return_X_y=True))
images = images / 16
classifier = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.1, random_state=0)
classifier.partial_fit(images[:1], labels[:1], classes=np.arange(10))  # makes the arrays
model = {"coef": classifier.coef_, "intercept": classifier.intercept_}


def measure(model):
    return {"accuracy": classifier.score(images[700:], labels[700:]), "num_examples": len(labels) - 700}


for _ in range(3):
    classifier.partial_fit(images[:700], labels[:700])
print(measure(model))
