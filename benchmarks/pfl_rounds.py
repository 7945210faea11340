"""Rounds of pfl-research (Granqvist et al. 2024, arXiv:2404.06430), beside ours in benchmarks/many.py.

    python benchmarks/pfl_rounds.py CLIENTS COHORT ROUNDS EPOCHS BATCH EXAMPLES RATE

The same network and as many steps, in one process, on noise: EXAMPLES of each client. Needs pfl 0.6. Prints the seconds
of each round as JSON; in the first one pfl also evaluates.
"""

import json
import sys
from time import perf_counter

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import nn

INPUTS, HIDDEN, CLASSES = 784, 200, 10


class Network(nn.Sequential):
    def __init__(self):
        first, second, last = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), last)

    def loss(self, features, labels, is_eval=False):
        self.train(not is_eval)
        return nn.functional.cross_entropy(self(features), labels)

    def metrics(self, features, labels, is_eval=True):
        return {"loss": Weighted(self.loss(features, labels, is_eval).item(), len(features))}


class Clock(TrainingProcessCallback):
    def __init__(self):
        self.times = [perf_counter()]

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        self.times.append(perf_counter())
        return False, Metrics()


def main(clients: int, cohort: int, rounds: int, epochs: int, batch: int, examples: int, rate: float) -> list[float]:
    torch.set_num_threads(1)
    features = torch.randn(clients * examples, INPUTS)
    labels = torch.randint(0, CLASSES, (clients * examples,))

    def examples_of(user: int) -> Dataset:
        mine = slice(user * examples, (user + 1) * examples)
        return Dataset([features[mine], labels[mine]], eval_kwargs={"is_eval": True})

    users = FederatedDataset(examples_of, get_user_sampler("minimize_reuse", list(range(clients))))
    network = Network()
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), lr=1.0))
    clock = Clock()
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=rounds + 1,
            train_cohort_size=cohort,
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=users, val_data=None),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=epochs, local_learning_rate=rate, local_batch_size=batch
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=None),
        callbacks=[clock],
        send_metrics_to_platform=False,
    )
    return [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]


if __name__ == "__main__":
    *numbers, rate = sys.argv[1:]
    print(json.dumps(main(*map(int, numbers), float(rate))))
