"""Whose updates are odd beside the others': hand-made rounds, properties, and honest clients whose data differ."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import aggregation, partition, sampling, weights
from federation.fl.aggregation import LOOKED_AT, UpdateFile
from federation.fl.files.streams import BLOCK
from federation.fl.strategies import build
from federation.fl.suspicion import PATIENCE, Sign, odd
from federation.fl.workloads import TrainConfig, digit_images
from federation.fl.workloads.digits import Digits

CONFIG = TrainConfig(epochs=2, batch_size=16, learning_rate=0.03, seed=0, validation_fraction=0.0)
numbers = st.floats(0.0, 1e300)
cosines = st.none() | st.floats(-1.0, 1.0)


def signs(norms, alignments):
    return [one and one.sign for one in odd(norms, alignments)]


def test_an_update_that_points_away_from_the_others_is_odd():
    assert signs([1, 1, 1, 1], [0.5, 0.4, 0.5, -0.3]) == [None, None, None, Sign.DIRECTION]
    assert odd([1, 1, 1, 1], [0.5, 0.4, 0.5, -0.3])[3].value == -0.3


def test_nobody_is_odd_where_all_point_apart():
    assert signs([1] * 5, [-0.2, -0.3, -0.5, -0.4, -0.6]) == [None] * 5


def test_an_update_that_is_far_larger_is_odd():
    assert signs([1, 1, 1, 5.1], [0.5] * 4) == [None, None, None, Sign.SIZE]
    assert odd([2, 2, 2, 24], [0.5] * 4)[3].value == pytest.approx(12)


def test_an_update_that_is_far_from_all_others_is_odd():
    # At an angle of 60 degrees the others are 1 away from one of the usual size; 2.8 times as large and across: 3.
    assert signs([1, 1, 1, 1, 2.83], [0.5] * 4 + [0.0]) == [None] * 4 + [Sign.DISTANCE]
    assert odd([1, 1, 1, 1, math.sqrt(8)], [0.5] * 4 + [0.0])[4].value == pytest.approx(3)


def test_beside_updates_that_are_all_alike_a_little_is_not_odd():
    assert signs([1, 1, 1, 1], [1.0] * 4) == [None] * 4
    assert signs([1, 1, 1, 1, 1.5], [1.0] * 4 + [0.9]) == [None] * 5


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_of_three_or_fewer_nobody_is_odd(count):
    assert signs([1.0, 1.0, 900.0][:count], [0.5, 0.5, -1.0][:count]) == [None] * count


def test_half_of_the_clients_are_not_odd():
    assert signs([1, 1, 9, 9], [0.5, 0.5, -1, -1]) == [None] * 4


@given(st.lists(st.tuples(numbers, cosines), max_size=12))
def test_any_numbers_are_judged_and_fewer_than_half_are_odd(updates):
    found = odd([norm for norm, _ in updates], [cosine for _, cosine in updates])
    assert len(found) == len(updates)
    assert 2 * sum(one is not None for one in found) <= max(0, len(found) - 1)
    assert all(math.isfinite(one.value) for one in found if one)


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(-1, 1)), min_size=4, max_size=9), st.randoms())
def test_the_order_of_updates_and_the_unit_of_their_norms_do_not_matter(updates, random):
    before = dict(zip(updates, signs(*zip(*updates, strict=True)), strict=True))
    random.shuffle(updates)
    norms, alignments = zip(*updates, strict=True)
    assert signs([8 * norm for norm in norms], alignments) == [before[one] for one in updates]


# ---- the angle to the others


def aligned(tmp_path, rows, **options):
    weights.save(tmp_path / "base", {"w": np.zeros(len(rows[0]), np.float32)})
    files = []
    for place, row in enumerate(rows):
        weights.save(tmp_path / str(place), {"w": np.float32(row)})
        files.append(UpdateFile(tmp_path / str(place), 1 + 10**9 * (place == 0), norm=float(np.linalg.norm(row))))
    made = aggregation.aggregate(
        build("fedavg", {}), base=tmp_path / "base", base_slots=None, updates=files,
        out=tmp_path / "out", out_slots=tmp_path / "slots", on_block=lambda: None, **options,
    )  # fmt: skip
    return made.alignments


def test_every_other_update_counts_the_same_however_large_it_is(tmp_path):
    # From the first, the others' directions sum to (-1, 1): 135 degrees. From the second: (1, 0) + (-1, 0) is nothing.
    found = aligned(tmp_path, [(1, 0), (0, 1000), (-3, 0)])
    assert found == [pytest.approx(-math.sqrt(0.5)), None, pytest.approx(-math.sqrt(0.5))]


def test_it_is_that_of_what_counts_after_clipping(tmp_path):
    rows = [(1, 0), (0, 1), (1, 1), (-1e6, -1e6)]
    plain, clipped = aligned(tmp_path, rows), aligned(tmp_path, rows, defences=["norms"])
    assert plain == pytest.approx(clipped, abs=1e-6) and plain[3] == pytest.approx(-1)


def test_of_a_large_tensor_each_round_looks_at_another_quarter(tmp_path):
    rows = np.random.default_rng(1).standard_normal((3, 5 * BLOCK)) + 0.5
    for turn in range(LOOKED_AT):
        seen = np.concatenate(
            [rows[:, at : at + BLOCK] for at in range(0, 5 * BLOCK, BLOCK) if (at // BLOCK + turn) % 4 == 0], axis=1
        )
        units = seen / np.linalg.norm(rows, axis=1)[:, np.newaxis]
        others = [np.sum(np.delete(units, row, axis=0), axis=0) for row in range(3)]
        expected = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(seen, others, strict=True)]
        assert aligned(tmp_path, rows, seed=(turn,)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rows", [[(1, 0)], [(0, 0), (0, 0)], [(1, 0), (0, 0)]])
def test_without_others_that_point_somewhere_it_is_unknown(tmp_path, rows):
    assert aligned(tmp_path, rows)[0] is None


def test_it_is_finite_however_large_an_update_is(tmp_path):
    found = aligned(tmp_path, [(1, 1), (1, 0), (3e38, 3e38)])
    assert all(-1 <= one <= 1 for one in found)


def test_an_update_of_nearly_nothing_hides_nobody(tmp_path):
    """Its direction cannot be told in float32, and spoils no sum."""
    rows = np.random.default_rng(1).standard_normal((6, 50))
    rows[2] = 1e-41
    found = aligned(tmp_path, rows.astype(np.float32))
    assert found[2] is None and None not in found[:2] + found[3:]


# ---- honest clients


def suspects(folder, *, liar=None, num_clients=10, rounds=6):
    """Who of clients with few digits each is suspected in a session of some rounds. liar: sends minus three times."""
    workload, whole = Digits(), digit_images.load("train")
    shards = partition.all_shards(whole.labels, partition.parse("dirichlet:0.1"), num_shards=num_clients, seed=3)
    workload.write_initial(folder / "0", {}, 1)
    in_a_row, suspected = [0] * num_clients, set()
    for number in range(1, rounds + 1):
        base, files = weights.load(folder / str(number - 1)), []
        for client, members in enumerate(shards):
            config = replace(CONFIG, seed=sampling.client_seed(3, number, f"client-{client}"))
            update = workload.local_update(base, whole.subset(members), {}, config, lambda *_: True)
            sent = {name: np.float32(-3 if client == liar else 1) * part for name, part in update.delta.items()}
            weights.save(path := folder / f"update-{client}", sent)
            norm = math.sqrt(sum(float(np.vecdot(part.ravel(), part.ravel())) for part in sent.values()))
            files.append(UpdateFile(path, update.num_examples, norm=norm))
        made = aggregation.aggregate(
            build("fedavg", {}), base=folder / str(number - 1), base_slots=None, updates=files,
            out=folder / str(number), out_slots=folder / "slots", on_block=lambda: None,
        )  # fmt: skip
        for client, one in enumerate(odd(made.norms, made.alignments)):
            in_a_row[client] = in_a_row[client] + 1 if one else 0
            suspected |= {client} if in_a_row[client] == PATIENCE else set()
    return suspected


def test_honest_clients_whose_data_differ_are_not_suspected(tmp_path):
    assert suspects(tmp_path) == set()


def test_among_them_who_turns_its_updates_around_is_suspected_alone(tmp_path):
    assert suspects(tmp_path, liar=4) == {4}
