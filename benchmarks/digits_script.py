"""The built-in workload of digits as a script: digits_script.py SITE SITES. It calls the workload's own training."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import torch  # noqa: E402

import clientagent  # noqa: E402
from federation.fl import partition  # noqa: E402
from federation.fl.workloads import WORKLOADS, TrainConfig  # noqa: E402

torch.set_num_threads(1)  # as the agent does for the built-in one
digits = WORKLOADS["digits"]
site, sites = int(sys.argv[1]), int(sys.argv[2])
whole = digits.training_data({}, None)
mine = partition.shard_indices(whole.labels, partition.parse("iid"), shard=site, num_shards=sites, seed=0)
data = whole.subset(mine)

for work in clientagent.works("digits-script", initial=digits.initial_weights({}, 7), num_examples=len(data)):

    def report(phase, step, total, metrics, work=work):
        work.log(metrics, step=step)
        return not work.dropped

    names = ("epochs", "batch_size", "learning_rate", "seed")
    base, config = work.weights, TrainConfig(**{name: work.config[name] for name in names})
    update = digits.local_update(base, data, {}, config, report)
    trained = {name: base[name] + difference for name, difference in update.delta.items()}
    work.send(trained, num_examples=update.num_examples, metrics=update.metrics)
