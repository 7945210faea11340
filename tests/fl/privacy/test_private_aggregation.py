"""The engine in a private session: files in, files out."""

from dataclasses import replace

import numpy as np
import pytest

from federation.fl import aggregation, parallel, weights
from federation.fl.aggregation import UpdateFile
from federation.fl.privacy.clippings import build as clipping
from federation.fl.privacy.mechanism import Private
from federation.fl.privacy.noise import Noise
from federation.fl.strategies import STRATEGIES, build

PRIVATE = [name for name, strategy in STRATEGIES.items() if strategy.sees_mean_alone]
KEY = bytes(range(32))


@pytest.fixture
def aggregate(tmp_path):
    """aggregate(base, deltas, ...) on arrays: the new model, and what was told. digests: what the noise is made of."""

    def aggregate(base, deltas, strategy="fedavg", options=None, kind="fixed", slots=None, key=KEY, number=1, **about):
        weights.save(tmp_path / "base", base)
        files = []
        for seat, delta in enumerate(deltas):
            weights.save(tmp_path / f"update-{seat}", delta, {"num_examples": str(10**seat)})
            files.append(UpdateFile(tmp_path / f"update-{seat}", 10**seat, norm=1.0))
        more = {name: about.pop(name) for name in ("buffers", "defences") if name in about}
        noise = about.pop("noise_multiplier", 1.0)  # less than a session may have, where only the mean matters
        private = Private(
            replace(clipping(kind, about), noise_multiplier=noise), Noise(key, number, 1, [str(len(deltas))])
        )
        told = aggregation.aggregate(
            build(strategy, options or {}),
            base=tmp_path / "base",
            base_slots=slots,
            updates=files,
            out=tmp_path / "out",
            out_slots=tmp_path / "out-slots",
            private=private,
            on_block=lambda: None,
            **more,
        )
        return weights.load(tmp_path / "out"), told

    return aggregate


def test_the_model_moves_by_the_noised_mean_of_clipped_updates(aggregate):
    base = {"w": np.zeros(3), "v": np.zeros(2)}
    deltas = [{"w": np.array([3.0, 0, 0]), "v": np.array([0, 4.0])}, {"w": np.array([0, 0, 1.0]), "v": np.zeros(2)}]
    new, told = aggregate(base, deltas, clip=2.5, noise_multiplier=2.0)
    noise, deviation = Noise(KEY, 1, 1, ["2"]), 2.0 * 2.5 / 2
    # The first has norm 5 over both tensors and counts half.
    np.testing.assert_allclose(new["w"], [0.75, 0, 0.5] + deviation * noise.of_tensor("w", 0, 3))
    np.testing.assert_allclose(new["v"], [0, 1.0] + deviation * noise.of_tensor("v", 0, 2))
    assert told.released.deviation == deviation and told.released.clip == 2.5
    assert told.norms == pytest.approx([5.0, 1.0])


def test_noise_has_the_deviation_that_is_told(aggregate):
    base = {"w": np.zeros(100_000, np.float32)}
    new, told = aggregate(base, [base] * 4, clip=0.5, noise_multiplier=1.5)
    assert told.released.deviation == 1.5 * 0.5 / 4
    assert new["w"].std() == pytest.approx(told.released.deviation, rel=0.02)


@pytest.mark.parametrize("strategy", PRIVATE)
@pytest.mark.parametrize("kind", ["fixed", "adaptive"])
def test_the_same_files_give_the_same_bytes_on_any_number_of_threads(aggregate, monkeypatch, strategy, kind):
    base = {"w": np.float32(np.linspace(-1, 1, 70_000)), "h": np.ones(9, np.float16)}
    deltas = [{name: array * scale for name, array in base.items()} for scale in (np.float16(0.5), np.float16(0.25))]
    found = []
    for threads in (1, 2, 7):
        monkeypatch.setattr(parallel, "threads", lambda threads=threads: threads)
        found.append(aggregate(base, deltas, strategy, kind=kind, clip=3.0)[1])
    assert len({(one.digest, one.slots_digest) for one in found}) == 1


@pytest.mark.parametrize("strategy", PRIVATE)
def test_a_private_strategy_sees_one_update_whatever_the_clients_claim(aggregate, strategy):
    """By examples the second client, with ten times as many, would count ten times as much."""
    base, moved = {"w": np.zeros(4)}, {"w": np.ones(4)}
    one_way, _ = aggregate(base, [base, moved], strategy, clip=1e6, noise_multiplier=1e-12)
    other_way, _ = aggregate(base, [moved, base], strategy, clip=1e6, noise_multiplier=1e-12)
    np.testing.assert_allclose(one_way["w"], other_way["w"], rtol=1e-9)
    assert (one_way["w"] != 0).all()


def test_another_round_has_another_noise(aggregate):
    base = {"w": np.zeros(1000)}
    first, second = (aggregate(base, [base], number=number)[0]["w"] for number in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_a_single_value_and_scalars_get_noise_too(aggregate):
    base = {"w": np.zeros(1), "s": np.zeros(())}
    new, _ = aggregate(base, [base, base])
    assert new["w"][0] != 0 and new["s"] != 0


def test_buffers_and_integers_stay_as_they_are(aggregate):
    base = {"w": np.zeros(2), "mean": np.float32([1, 2]), "n": np.array(7, np.int64), "steps": np.array(3, np.int64)}
    delta = {"w": np.ones(2), "mean": np.float32([5, 5]), "n": np.array(1, np.int64), "steps": np.array(9, np.int64)}
    new, _ = aggregate(base, [delta] * 3, buffers=["mean", "n"], clip=10.0, noise_multiplier=1e-12)
    assert (new["mean"].tolist(), new["n"].item(), new["steps"].item()) == ([1, 2], 7, 3)
    np.testing.assert_allclose(new["w"], 1)


def test_buffers_do_not_count_in_the_norm(aggregate):
    base = {"w": np.zeros(1), "mean": np.zeros(1)}
    delta = {"w": np.ones(1), "mean": np.full(1, 1e6)}
    new, _ = aggregate(base, [delta], buffers=["mean"], clip=1.0, noise_multiplier=1e-12)
    np.testing.assert_allclose(new["w"], 1)


def test_an_adaptive_clip_is_kept_with_the_model_beside_what_the_strategy_keeps(aggregate, tmp_path):
    base, delta = {"w": np.zeros(2)}, {"w": np.ones(2)}
    adam = {"strategy": "fedadam", "options": {"bias_correction": True}, "kind": "adaptive", "clip": 8.0}
    _, first = aggregate(base, [delta], **adam)
    kept = tmp_path / "kept"
    (tmp_path / "out-slots").rename(kept)
    _, second = aggregate(base, [delta], slots=kept, number=2, **adam)
    assert second.released.clip == first.released.next_clip != 8.0
    assert weights.load(kept)["scalar/step"] == 1


def test_no_other_defence_scales_an_update_or_leaves_one_out(aggregate):
    base = {"w": np.zeros(1, np.float16)}
    deltas = [{"w": np.full(1, value, np.float16)} for value in (1, 1, 60_000)]
    plain = aggregate(base, deltas, clip=1.0)[1]
    guarded = aggregate(base, deltas, clip=1.0, defences=["norms", "finite"])[1]
    assert guarded == plain and guarded.clipped is None


def test_nobody_is_blamed_for_a_model_that_noise_spoils(aggregate):
    base = {"w": np.zeros(100, np.float16)}
    with pytest.raises(aggregation.SpoiltModel) as spoilt:
        aggregate(base, [base, base], clip=1e6, noise_multiplier=10.0, defences=["finite"])
    assert spoilt.value.rows == ()
