"""SCAFFOLD and FedDyn beside their papers' algorithms, written out here line by line and from nothing of ours.

The papers know the number of clients N from the start; here all of them take part in the first round, so both agree.
"""

import numpy as np
import pytest

from tests.fl.strategies.test_kept_by_clients import RATE, Session, Site

CLIENTS = [(0.3, (4.0, -1.0)), (1.0, (-2.0, 0.5)), (2.5, (0.25, 7.0)), (0.7, (1.0, 1.0))]  # curve, best
ASKED = [(0, 1, 2, 3), (1, 3), (0, 2, 3), (2,), (0, 1, 2, 3), (1, 2), (0, 3)]
STEPS = 6  # of client i: i more


def gradient(client, w):
    curve, best = CLIENTS[client]
    return curve * (w - np.array(best))


def scaffold(server_lr):
    """Karimireddy et al. 2020 (arXiv:1910.06378), algorithm 1, line 12 with option II. The model after each round."""
    x, c = np.zeros(2), np.zeros(2)
    c_i = {client: np.zeros(2) for client in range(len(CLIENTS))}
    for sampled in ASKED:
        dy, dc = [], []
        for i in sampled:
            y, steps = x.copy(), STEPS + i
            for _ in range(steps):
                y -= RATE * (gradient(i, y) - c_i[i] + c)
            c_plus = c_i[i] - c + (x - y) / (steps * RATE)
            dy.append(y - x)
            dc.append(c_plus - c_i[i])
            c_i[i] = c_plus
        x = x + server_lr * np.mean(dy, axis=0)
        c = c + len(sampled) / len(CLIENTS) * np.mean(dc, axis=0)
        yield x, c


def feddyn(alpha):
    """Acar et al. 2021 (arXiv:2111.04263), algorithm 1, with gradient descent for the argmin. Model and h."""
    theta, h = np.zeros(2), np.zeros(2)
    grads = {client: np.zeros(2) for client in range(len(CLIENTS))}
    for active in ASKED:
        found = []
        for k in active:
            theta_k = theta.copy()
            for _ in range(STEPS + k):
                theta_k -= RATE * (gradient(k, theta_k) - grads[k] + alpha * (theta_k - theta))
            grads[k] = grads[k] - alpha * (theta_k - theta)
            found.append(theta_k)
        h = h - alpha / len(CLIENTS) * np.sum([theta_k - theta for theta_k in found], axis=0)
        theta = np.mean(found, axis=0) - h / alpha
        yield theta, h


@pytest.mark.parametrize(
    ("name", "options", "slot", "paper"),
    [
        ("scaffold", {}, "c", scaffold(1.0)),
        ("scaffold", {"server_lr": 0.5}, "c", scaffold(0.5)),
        ("feddyn", {"alpha": 0.5}, "h", feddyn(0.5)),
        ("feddyn", {"alpha": 2.0}, "h", feddyn(2.0)),
    ],
)
def test_every_round_is_the_papers(tmp_path, name, options, slot, paper):
    session = Session(tmp_path, name, options, [Site(curve, best) for curve, best in CLIENTS])
    models = [session.model]
    for asked, (model, kept) in zip(ASKED, paper, strict=True):
        session.play(asked, steps=STEPS)
        np.testing.assert_allclose(session.model, model, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(session.slot(slot), kept, rtol=1e-9, atol=1e-12)
        models.append(session.model)
    assert all((np.abs(after - before) > 1e-3).any() for before, after in zip(models, models[1:], strict=False))
