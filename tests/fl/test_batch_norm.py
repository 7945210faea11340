"""A network with BatchNorm, through every strategy and encoding: its statistics stay possible, its counter right.

One of the three clients is of before there were roles: it is offered plain float32 and knows of no buffers. The long
version with a ResNet-18 and real agents of 0.1.0 is benchmarks/batchnorm.py.
"""

import hashlib

import numpy as np
import pytest

from federation.fl import aggregation, encodings, roles, weights
from federation.fl.aggregation import UpdateFile
from federation.fl.files import encoded, updates
from federation.fl.strategies import build
from federation.fl.workloads import Data, TrainConfig
from tests.fl.networks import Small, batch_norm, points

pytest.importorskip("torch")
WORKLOAD = Small(batch_norm)
COUNT, VAR = "1.num_batches_tracked", "1.running_var"
SITES = [points(9 + 8 * site, seed=site) for site in range(3)]
STRATEGIES = [
    ("fedavg", {"server_lr": 1.0}),
    ("fedavg", {"server_lr": 3.0}),
    ("fedadam", {"server_lr": 0.1}),
    ("fedmedian", {}),
]


def train(folder, site, model, round_, encoding):
    """What a site sends for a round: encoded, or plain by the last one, which is of before."""
    data: Data = SITES[site]
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.1, seed=round_ * 10 + site)
    found = WORKLOAD.local_update(weights.mapped(model), data, {}, config, lambda *_: True)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    metadata = {"num_examples": str(found.num_examples), "base_digest": digest}
    out, own = folder / f"update-{site}", {name: delta.copy() for name, delta in found.delta.items()}
    if site == 2 or encoding.name == "none":
        weights.save(out, own, metadata)
    else:
        before, left = (folder / f"residual-{site}-{number}" for number in (round_ - 1, round_))
        residual = before if before.exists() else None
        encoded.save(
            out, own, encoding, seed=round_, metadata=metadata, buffers=WORKLOAD.buffers({}),
            residual=residual, left=left if encoding.feedback else None,
        )  # fmt: skip
    header = weights.read_header(model)
    seen = updates.check(
        out, base=header, base_digest=digest, encoding=encoding, buffers=WORKLOAD.buffers({}), model=model
    )
    return UpdateFile(out, seen.num_examples, norm=seen.norm), found.delta[COUNT]


@pytest.mark.parametrize("encoding", encodings.ENCODINGS)
@pytest.mark.parametrize("strategy, options", STRATEGIES)
def test_statistics_stay_possible_and_the_counter_right(tmp_path, strategy, options, encoding):
    model, slots, count = tmp_path / "model-0", None, 0
    WORKLOAD.write_initial(model, {}, 1)
    assert roles.buffers(weights.read_header(model)) == sorted(WORKLOAD.buffers({}))
    chosen = build(strategy, options)
    for round_ in range(1, 6):
        sent = [train(tmp_path, site, model, round_, encodings.build(encoding, {})) for site in range(3)]
        counts, shares = np.array([int(steps) for _, steps in sent]), np.array([file.num_examples for file, _ in sent])
        mean = np.median(counts) if strategy == "fedmedian" else counts @ (shares / shares.sum())
        count += int(np.rint(mean))
        out, out_slots = tmp_path / f"model-{round_}", tmp_path / f"slots-{round_}"
        aggregation.aggregate(
            chosen, base=model, base_slots=slots, updates=[file for file, _ in sent], out=out, out_slots=out_slots,
            buffers=WORKLOAD.buffers({}), on_block=lambda: None,
        )  # fmt: skip
        model, slots = out, out_slots if chosen.slots else None
        new = weights.load(model)
        assert (new[VAR] > 0).all() and new[COUNT].tolist() == count
    measured = WORKLOAD.evaluate(weights.load(model), {})
    assert all(np.isfinite(value) for value in measured.values())
