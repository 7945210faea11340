import numpy as np
import pytest

from federation.fl import aggregation, weights
from federation.fl.aggregation import UpdateFile
from federation.fl.strategies import Block, Plan
from federation.fl.strategies.fedadam import FedAdam

SIZE = 70_000  # more than one block
ROUNDS = 5
EXAMPLES = [3, 5, 2]


def deltas_of(round_number):
    rng = np.random.default_rng(round_number)
    return [(rng.standard_normal(SIZE) * 0.1).astype(np.float32) for _ in EXAMPLES]


@pytest.fixture
def play(tmp_path):
    """play(first, last, base, slots): rounds through files; every round's model and the last slots."""

    def play(first, last, base, slots=None):
        models = []
        for n in range(first, last + 1):
            files = []
            for seat, (delta, count) in enumerate(zip(deltas_of(n), EXAMPLES, strict=True)):
                weights.save(tmp_path / f"u{seat}", {"w": delta, "n": np.array(1, np.int64)})
                files.append(UpdateFile(tmp_path / f"u{seat}", count))
            out, out_slots = tmp_path / f"model-{n}", tmp_path / f"slots-{n}"
            aggregation.aggregate(
                FedAdam(),
                base=base,
                base_slots=slots,
                updates=files,
                out=out,
                out_slots=out_slots,
                on_block=lambda: None,
            )
            models.append(weights.load(out)["w"])
            base, slots = out, out_slots
        return models, slots

    weights.save(tmp_path / "initial", {"w": deltas_of(0)[0], "n": np.array(0, np.int64)})
    return lambda first=1, last=ROUNDS, base=tmp_path / "initial", slots=None: play(first, last, base, slots)


def reference():
    """The docstring's formulas in float64 with m and v in memory; only the model is rounded, once a round."""
    adam, share = FedAdam(), np.array(EXAMPLES) / sum(EXAMPLES)
    w, m, v = deltas_of(0)[0].astype(np.float64), np.zeros(SIZE), np.zeros(SIZE)
    for n in range(1, ROUNDS + 1):
        delta = sum(s * d.astype(np.float64) for s, d in zip(share, deltas_of(n), strict=True))
        m = adam.beta_1 * m + (1 - adam.beta_1) * delta
        v = adam.beta_2 * v + (1 - adam.beta_2) * delta**2
        w = (w + adam.server_lr * m / (np.sqrt(v) + adam.tau)).astype(np.float32).astype(np.float64)
        yield w.astype(np.float32)


def test_every_round_is_float64_adam_rounded_once(play):
    models, _ = play()
    for model, expected in zip(models, reference(), strict=True):
        spacing = np.spacing(np.maximum(np.abs(model), np.abs(expected)))
        assert (np.abs(model - expected) <= spacing).all()


def test_resumed_from_stored_slots_it_is_as_uninterrupted(play, tmp_path):
    whole, _ = play()
    uninterrupted = (tmp_path / f"model-{ROUNDS}").read_bytes(), (tmp_path / f"slots-{ROUNDS}").read_bytes()
    _, slots = play(last=2)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("model-2", "slots-2"):
        (tmp_path / name).rename(kept / name)
    play(3, ROUNDS, kept / "model-2", kept / "slots-2")
    assert ((tmp_path / f"model-{ROUNDS}").read_bytes(), (tmp_path / f"slots-{ROUNDS}").read_bytes()) == uninterrupted


def test_forgotten_slots_would_be_noticed(play, tmp_path):
    whole, _ = play()
    play(last=2)
    resumed, _ = play(3, ROUNDS, tmp_path / "model-2", None)
    assert not np.array_equal(resumed[-1], whole[-1])


def test_the_first_step_by_hand():
    block = Block("w", np.array([1.0]), np.float32([[2]]), {"m": np.zeros(1), "v": np.zeros(1)})
    new, slots = FedAdam(server_lr=1.0, beta_1=0.5, beta_2=0.75, tau=1.0).step(Plan(np.array([1.0])), block)
    assert slots["m"].tolist() == [1.0] and slots["v"].tolist() == [1.0]  # 0.5 * 2, 0.25 * 4
    assert new.tolist() == [1.5]  # 1 + 1 / (sqrt(1) + 1)
