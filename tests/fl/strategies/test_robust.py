"""The robust rules: numbers by hand, and what holds whatever the updates are."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import aggregation, parallel, weights
from federation.fl.aggregation import AggregationError, UpdateFile
from federation.fl.files import streams
from federation.fl.strategies import STRATEGIES, Block, Launch, Updates, build, gram, mixing, ordering
from federation.fl.strategies.bulyan import chosen
from federation.fl.strategies.krum import scores
from federation.fl.strategies.robust import Robust
from tests.properties import PROPERTY

ROBUST = [name for name, strategy in STRATEGIES.items() if issubclass(strategy, Robust)]
CASES = [(name, before) for name in ROBUST for before in mixing.Before]
N, F = 13, 1  # as many as Bulyan behind bucketing needs


@pytest.fixture
def play(tmp_path):
    """play(strategy, rows): the step that a round of these updates makes, of the tensors w, bn.count and bn.mean."""

    def play(name, rows, counts=None, means=None, options=None, slots=None, seed=(1, 1, 1), dtype=np.float32):
        counts, means = counts or [0] * len(rows), means or [0.0] * len(rows)
        base = {
            "w": np.zeros(len(rows[0]), dtype),
            "bn.count": np.array(0, np.int64),
            "bn.mean": np.zeros(1, np.float32),
        }
        weights.save(tmp_path / "base", base)
        files = []
        for seat, (row, count, mean) in enumerate(zip(rows, counts, means, strict=True)):
            delta = {
                "w": np.array(row, dtype),
                "bn.count": np.array(count, np.int64),
                "bn.mean": np.float32([mean]),
            }
            weights.save(tmp_path / f"u{seat}", delta)
            files.append(UpdateFile(tmp_path / f"u{seat}", 10**12 if seat == len(rows) - 1 else 1))
        made = aggregation.aggregate(
            build(name, {"liars": F} | (options or {})),
            base=tmp_path / "base",
            base_slots=slots,
            updates=files,
            out=tmp_path / "out",
            out_slots=tmp_path / "slots",
            buffers=["bn.count", "bn.mean"],
            seed=seed,
            on_block=lambda: None,
        )
        return weights.load(tmp_path / "out"), made

    return play


def rows_of(num_rows, size=40, seed=0):
    return np.random.default_rng(seed).standard_normal((num_rows, size)).astype(np.float32)


# ---- by hand


def test_the_trimmed_mean_drops_the_ends_of_each_coordinate(play):
    new, _ = play("trimmed_mean", [[0, 9], [1, 1], [2, 2], [3, 3], [1e6, -1e6]])
    assert new["w"].tolist() == [2, 2]


def test_krum_takes_the_update_in_the_middle_of_the_closest(play):
    # Each has 5 - 1 - 2 = 2 neighbours: scores 1 + 4, 1 + 1, 1 + 4, 64 + 81, huge.
    new, _ = play("krum", [[0], [1], [2], [10], [1e6]])
    assert new["w"].tolist() == [1]
    assert scores(gram.distances(np.outer([0, 1, 2, 10, 50], [0, 1, 2, 10, 50]).astype(float)), 1).tolist() == [
        *(5, 2, 5, 64 + 81, 40**2 + 48**2)
    ]


def test_multi_krum_is_the_mean_of_the_closest(play):
    new, _ = play("multi_krum", [[0], [1], [2], [10], [1e6]], options={"selected": 3})
    assert new["w"].tolist() == [1]
    new, _ = play("multi_krum", [[0], [1], [3], [10], [1e6]])  # 5 - 1 - 2 of them: scores 10, 5, 13
    assert new["w"].tolist() == [0.5]


def test_bulyan_chooses_by_krum_and_then_takes_the_values_around_the_median(play):
    values = [0.0, 1, 2, 3, 4, 100, 200]
    squares = gram.distances(np.outer(values, values))
    # One after another 2, 3, 1 and 4; of 0, 100 and 200, all with a neighbour 100 away, the one in the middle.
    assert chosen(squares, 1) == [1, 2, 3, 4, 5]
    new, _ = play("bulyan", [[value] for value in values])  # the three of 1, 2, 3, 4 and 100 around 3
    assert new["w"].tolist() == [3]


def test_the_geometric_median_of_points_on_a_line_is_their_median(play):
    new, _ = play("geometric_median", [[0], [1], [2], [50], [1e6]], options={"iterations": 1000})
    assert new["w"][0] == pytest.approx(2, abs=1e-3)


def test_one_step_of_weiszfeld_by_hand(play):
    # From 0 the distances are 1, 2, 4: (1 + 1 + 1) / (1 + 1/2 + 1/4).
    new, _ = play("geometric_median", [[1], [2], [4]], options={"iterations": 1})
    assert new["w"][0] == np.float32(3 / 1.75)


def test_norm_clipping_shortens_what_is_longer_than_the_radius(play):
    rows = [[3, 4], [0, 1], [0, 100]]
    new, _ = play("norm_clipping", rows, options={"radius": 1.0})
    np.testing.assert_allclose(new["w"], [0.6 / 3, (0.8 + 1 + 1) / 3], rtol=1e-6)
    new, _ = play("norm_clipping", rows)  # the median of the norms is 5
    np.testing.assert_allclose(new["w"], [1, (4 + 1 + 5) / 3], rtol=1e-6)


def test_centered_clipping_goes_on_from_its_last_step(play, tmp_path):
    rows = [[1], [2], [100]]
    new, _ = play("centered_clipping", rows, options={"radius": 2.0})
    assert new["w"].tolist() == pytest.approx([5 / 3])  # 1, 2 and 2 from 0
    kept = (tmp_path / "slots").rename(tmp_path / "kept")
    new, _ = play("centered_clipping", rows, options={"radius": 2.0}, slots=kept)
    assert new["w"].tolist() == pytest.approx(
        [5 / 3 + (1 - 5 / 3 + 2 - 5 / 3 + 2) / 3]
    )  # all three are near enough but one


def test_mixing_makes_each_update_the_mean_of_its_nearest():
    values = np.array([0.0, 1, 3, 100])
    mixture = mixing.nearest(np.outer(values, values), 1)
    assert (mixture @ values).tolist() == pytest.approx([4 / 3, 4 / 3, 4 / 3, 104 / 3])


def test_buckets_hold_every_update_once_and_are_drawn_from_the_seed():
    mixture = mixing.buckets(7, 3, (1, 2, 3))
    assert mixture.shape == (3, 7) and ((mixture > 0).sum(axis=0) == 1).all()
    np.testing.assert_allclose(mixture.sum(axis=1), 1)
    assert sorted((mixture > 0).sum(axis=1)) == [1, 3, 3]
    np.testing.assert_array_equal(mixture, mixing.buckets(7, 3, (1, 2, 3)))
    assert any(not np.array_equal(mixture, mixing.buckets(7, 3, (1, 2, attempt))) for attempt in range(4, 9))
    assert (
        mixing.buckets(5, 2, (1, 1, 1)).argmax(axis=0).tolist() == BUCKETS_OF_FIVE
    )  # never another: models depend on it


BUCKETS_OF_FIVE = [2, 0, 0, 1, 1]


# ---- order within columns


@pytest.mark.parametrize("num_rows", range(1, 16))
def test_the_trimmed_mean_is_that_of_sorted_columns(num_rows):
    rows = rows_of(num_rows, 50, num_rows)
    for trim in range((num_rows + 1) // 2):
        expected = np.sort(rows, axis=0)[trim : num_rows - trim].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(ordering.trimmed_mean(rows, trim), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_rows", range(3, 10))
def test_the_separation_is_right_for_every_order(num_rows):
    columns = np.arange(2**num_rows)
    rows = ((columns >> np.arange(num_rows)[:, np.newaxis]) & 1).astype(np.float32)
    for trim in range(1, (num_rows + 1) // 2):
        expected = np.sort(rows, axis=0)[trim : num_rows - trim].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(ordering.trimmed_mean(rows, trim), expected, rtol=1e-12)


def test_beyond_the_network_the_trimmed_mean_is_the_same(monkeypatch):
    rows = rows_of(20, 300)
    expected = ordering.trimmed_mean(rows, 3)
    monkeypatch.setattr(ordering, "NETWORK_CLIENTS", 5)
    np.testing.assert_allclose(ordering.trimmed_mean(rows, 3), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", range(1, 8))
def test_the_values_around_the_median_are_the_nearest(count):
    rows = rows_of(7, 60, count).astype(np.float64)
    away = np.argsort(np.abs(rows - np.median(rows, axis=0)), axis=0)[:count]
    expected = np.take_along_axis(rows, away, axis=0).mean(axis=0)
    np.testing.assert_allclose(ordering.mean_around_median(rows, count), expected, rtol=1e-12, atol=1e-12)


# ---- the matrix


def test_products_and_distances_are_those_of_the_updates():
    rows = rows_of(5, 40_000).astype(np.float64)  # more than one run of columns
    products = rows @ rows.T
    block = Block("w", np.zeros(rows.shape[1]), rows, {})
    given = Updates(np.ones(5, np.int64), np.zeros(5, np.int64), lambda function: function(block))
    np.testing.assert_allclose(gram.gram(given), products, rtol=1e-12)
    differences = ((rows[:, np.newaxis] - rows) ** 2).sum(axis=2)
    np.testing.assert_allclose(gram.distances(products), differences, rtol=1e-9, atol=1e-9)
    share = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    to = ((rows - share @ rows) ** 2).sum(axis=1)
    np.testing.assert_allclose(gram.distances_to(products, share), to, rtol=1e-9)


def test_what_overflows_is_infinitely_far_and_spoils_no_other_distance():
    products = np.array([[1, 0, 1e200], [0, 1, 1e200], [1e200, 1e200, np.inf]])
    assert gram.distances(products).tolist() == [[0, 2, np.inf], [2, 0, np.inf], [np.inf, np.inf, 0]]
    assert gram.distances_to(products, np.array([0.5, 0.5, 0])).tolist() == [0.5, 0.5, np.inf]
    mixture = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]])
    assert gram.distances(gram.mixed(products, mixture)).tolist() == [[0, np.inf], [np.inf, 0]]


# ---- whatever the updates are


@pytest.mark.parametrize("name, before", CASES)
def test_identical_clients_change_nothing(play, name, before):
    row = rows_of(1)[0]
    options = {"before": before.value}
    if hasattr(build(name, {}), "radius"):
        options["radius"] = 1e6  # a radius may shorten even what all agree on
    new, made = play(name, [row] * N, [4] * N, [0.5] * N, options)
    np.testing.assert_allclose(new["w"], row, rtol=1e-6)
    assert new["bn.count"].tolist() == 4 and new["bn.mean"].tolist() == [0.5]


# Buckets are drawn by seat. Mixing makes equal rows, and which of these Bulyan leaves out is decided by seat.
IN_ANY_ORDER = [case for case in CASES if case[1] != mixing.Before.BUCKETING and case != ("bulyan", "mixing")]


@pytest.mark.parametrize("name, before", IN_ANY_ORDER)
def test_the_order_of_seats_does_not_matter(play, name, before):
    rows, counts = rows_of(N), list(range(N))
    expected, _ = play(name, rows, counts, options={"before": before.value})
    order = np.random.default_rng(3).permutation(N)
    new, _ = play(name, rows[order], [counts[row] for row in order], options={"before": before.value})
    np.testing.assert_allclose(new["w"], expected["w"], rtol=1e-6, atol=1e-6)
    assert new["bn.count"] == expected["bn.count"]


@pytest.mark.parametrize("name, before", CASES)
@pytest.mark.parametrize("lie", [1e12, -1e300])
def test_a_liar_moves_nothing_beyond_the_honest(play, name, before, lie):
    """However large it is, and whatever number of examples it claims; buffers and counters too."""
    honest = rows_of(N - F) + 5
    rows = np.vstack([honest.astype(np.float64), np.full((F, honest.shape[1]), lie)])
    dtype = np.float64 if abs(lie) > 1e38 else np.float32
    count = -(10**18) if lie < 0 else 10**18
    new, _ = play(
        name, rows, [7] * (N - F) + [count], [0.5] * (N - F) + [max(lie, -3e38)], {"before": before.value}, dtype=dtype
    )
    longest = np.linalg.norm(honest, axis=1).max()
    assert np.linalg.norm(new["w"]) <= 1.01 * longest
    assert new["bn.count"].tolist() == 7 and new["bn.mean"].tolist() == [0.5]


@PROPERTY
@given(
    case=st.sampled_from(CASES),
    seed=st.integers(0, 2**20),
    scale=st.floats(1e-6, 1e30),
    liars=st.integers(1, 2),
)
def test_it_stays_bounded_under_as_many_liars_as_it_is_told(play, case, seed, scale, liars):
    name, before = case
    rng = np.random.default_rng(seed)
    honest = rng.standard_normal((15 - liars, 6)) + 1
    lies = scale * rng.standard_normal((liars, 6))
    order = rng.permutation(15)
    options = {"before": before.value, "liars": liars}
    if build(name, options).least > 15:
        options["before"] = "nothing"
    counts = np.array([3] * len(honest) + [2**62] * liars)[order].tolist()
    new, _ = play(name, np.vstack([honest, lies])[order], counts, options=options, dtype=np.float64)
    longest = np.linalg.norm(honest, axis=1).max()
    assert np.isfinite(new["w"]).all() and np.linalg.norm(new["w"]) <= 2 * longest
    assert new["bn.count"].tolist() == 3


@pytest.mark.parametrize("name, before", CASES)
def test_the_same_bytes_on_any_number_of_threads_and_a_second_time(play, tmp_path, monkeypatch, name, before):
    monkeypatch.setattr(streams, "BLOCK", 100)
    rows = rows_of(N, 1005)
    found = set()
    for threads in (1, 3):
        monkeypatch.setattr(parallel, "threads", lambda threads=threads: threads)
        found.add(play(name, rows, options={"before": before.value})[1].digest)
    assert len(found) == 1


def test_bucketing_follows_the_rounds_seed(play):
    rows = rows_of(N)
    digests = {
        play("trimmed_mean", rows, options={"before": "bucketing"}, seed=(1, 1, attempt))[1].digest
        for attempt in range(4)
    }
    assert len(digests) > 1


# ---- what each assumes

LEAST = {  # of two liars, in buckets of three
    ("fedmedian", "nothing"): 1,
    ("fedmedian", "mixing"): 5,
    ("trimmed_mean", "nothing"): 5,
    ("trimmed_mean", "bucketing"): 13,
    ("krum", "nothing"): 7,
    ("krum", "mixing"): 7,
    ("krum", "bucketing"): 19,
    ("multi_krum", "nothing"): 7,
    ("bulyan", "nothing"): 11,
    ("geometric_median", "nothing"): 5,
    ("centered_clipping", "nothing"): 5,
    ("norm_clipping", "nothing"): 5,
}


@pytest.mark.parametrize("name, before", LEAST)
def test_it_needs_so_many_updates_for_two_liars(name, before):
    options = {"liars": 2, "before": before, "bucket_size": 3}
    strategy = build(name, options)
    needed = LEAST[name, before]
    assert strategy.least == needed
    assert strategy.misfit(Launch(quorum=needed, least=needed)) is None
    if needed > 1:
        refused = strategy.misfit(Launch(quorum=needed - 1, least=needed - 1))
        assert refused.field == "quorum" and f"a quorum of {needed} or more" in refused.sentence


def test_a_schedule_that_closes_earlier_is_refused_by_its_name():
    refused = build("krum", {}).misfit(Launch(quorum=9, least=1))
    assert refused.field == "schedule.name" and "may close one with 1" in refused.sentence


def test_multi_krum_that_selects_many_needs_more():
    assert build("multi_krum", {"liars": 1, "selected": 8}).least == 9


@pytest.mark.parametrize("name", [name for name in ROBUST if build(name, {}).least > 1])
def test_too_few_updates_are_refused_when_the_round_is_aggregated(play, tmp_path, name):
    needed = build(name, {"liars": F}).least
    with pytest.raises(
        AggregationError, match=f"needs at least {needed} updates in a round, and there are {needed - 1}"
    ):
        play(name, rows_of(needed - 1))
    assert not (tmp_path / "out").exists()
    play(name, rows_of(needed))


def test_every_combination_can_be_built_and_says_what_it_is():
    for name, before in CASES:
        strategy = build(name, {"before": before.value})
        assert dataclasses.is_dataclass(strategy) and strategy.before == before
        assert {option.name for option in strategy.options} == {field.name for field in dataclasses.fields(strategy)}
