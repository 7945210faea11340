import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl import partition
from federation.fl.partition import HANDFUL, Kind, Partition, PartitionError, parse, parse_shard, shard_indices


def shards(labels, how, num_shards, seed=1):
    return [shard_indices(labels, how, shard=k + 1, num_shards=num_shards, seed=seed) for k in range(num_shards)]


def how(alpha):
    return Partition(alpha, Kind.LABELS) if alpha else Partition()


@pytest.mark.parametrize(
    "spec, expected", [("iid", None), ("dirichlet:0.5", 0.5), ("dirichlet:1000", 1000), ("dirichlet:1e-2", 0.01)]
)
def test_a_partition_is_read(spec, expected):
    assert parse(spec) == how(expected)


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("quantity:0.5", Partition(0.5, Kind.SIZES)),
        ("shards:2", Partition(kind=Kind.PIECES, pieces=2)),
        ("shards:100", Partition(kind=Kind.PIECES, pieces=100)),
        ("slices", Partition(kind=Kind.ORDER)),
    ],
)
def test_other_partitions_are_read(spec, expected):
    assert parse(spec) == expected


@pytest.mark.parametrize(
    "spec",
    ["", "IID", "iid:1", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:-1", "dirichlet:nan", "dirichlet:inf"]
    + ["dirichlet:0.001", "dirichlet:1001", "dirichlet:a", "zipf:1", "dirichlet:0.5:1"]
    + [
        "shards",
        "shards:0",
        "shards:101",
        "shards:1.5",
        "shards:-1",
        "slices:2",
        "quantity",
        "quantity:0",
        ":",
        "iid:",
    ],
)
def test_another_partition_is_refused_with_what_is_allowed(spec):
    with pytest.raises(PartitionError, match='"iid", or "dirichlet:0.5"'):
        parse(spec)


def test_a_shard_is_read_counted_from_one():
    assert parse_shard("2/4") == (2, 4)


@pytest.mark.parametrize(
    "text", ["", "2", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/4/2", " 1/4", "1/4\n", "1.0/4", "１/4"]
)
def test_another_shard_is_refused(text):
    with pytest.raises(PartitionError, match='write "2/4"'):
        parse_shard(text)


@settings(max_examples=150, deadline=None)
@given(
    labels=st.lists(st.integers(0, 9), min_size=1, max_size=300),
    num_shards=st.integers(1, 12),
    alpha=st.sampled_from([None, 0.01, 0.1, 0.5, 10.0, 1000.0]),
    seed=st.integers(-(2**40), 2**40),
)
def test_shards_are_disjoint_cover_everything_and_none_is_nearly_empty(labels, num_shards, alpha, seed):
    labels = np.array(labels, np.int64)
    if len(labels) < num_shards:
        with pytest.raises(PartitionError, match="too few"):
            shards(labels, how(alpha), num_shards, seed)
        return
    parts = shards(labels, how(alpha), num_shards, seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert min(map(len, parts)) >= min(HANDFUL, len(labels) // num_shards)
    assert all(part.dtype == np.int64 and np.array_equal(part, np.sort(part)) for part in parts)


def test_an_even_split_is_even():
    assert {len(part) for part in shards(np.zeros(103, np.int64), how(None), 4)} == {25, 26}


def test_a_small_concentration_skews_labels_and_a_large_one_does_not():
    labels = np.repeat(np.arange(10), 200)

    def imbalance(alpha):
        counts = np.array([np.bincount(labels[part], minlength=10) for part in shards(labels, how(alpha), 4)])
        return (counts.max(axis=0) / 200).mean()

    assert imbalance(0.1) > 0.7 > 0.35 > imbalance(1000)


def test_the_seed_decides_the_split():
    labels = np.arange(100) % 10
    first, again, other = (shards(labels, how(0.5), 4, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_data_without_labels_give_empty_shards():
    assert [len(part) for part in shards(np.empty(0, np.int64), how(0.5), 3)] == [0, 0, 0]


@pytest.mark.parametrize("shard", [0, 4])
def test_there_is_no_shard_beyond_the_last(shard):
    with pytest.raises(PartitionError, match=f"no shard {shard} of 3"):
        shard_indices(np.arange(10), how(None), shard=shard, num_shards=3, seed=1)


def test_filling_up_takes_from_the_largest():
    parts = [np.arange(10), np.array([], np.int64), np.arange(20, 23)]
    partition._fill_up(parts, 4)
    assert [len(part) for part in parts] == [5, 4, 4]


DIGITS = np.arange(6000) % 10


def test_pieces_are_two_labels_a_client():
    """As in McMahan et al. 2017: sorted by label, 200 pieces, two for each of 100 clients."""
    parts = shards(DIGITS, parse("shards:2"), 100)
    assert {len(part) for part in parts} == {60}
    assert max(len(np.unique(DIGITS[part])) for part in parts) == 2


def test_slices_are_cut_as_the_data_come():
    parts = shards(DIGITS, parse("slices"), 4)
    assert [(part[0], part[-1]) for part in parts] == [(0, 1499), (1500, 2999), (3000, 4499), (4500, 5999)]


def test_quantities_differ_and_labels_do_not():
    parts = shards(DIGITS, parse("quantity:0.5"), 5)
    sizes = [len(part) for part in parts]
    assert max(sizes) > 4 * min(sizes)
    large = DIGITS[max(parts, key=len)]
    assert np.bincount(large, minlength=10).min() > len(large) / 15


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(st.integers(0, 9), min_size=1, max_size=300),
    num_shards=st.integers(1, 12),
    spec=st.sampled_from(["quantity:0.01", "quantity:1", "slices", "shards:1", "shards:3"]),
    seed=st.integers(-(2**40), 2**40),
)
def test_every_partition_gives_each_example_to_one_client(labels, num_shards, spec, seed):
    labels, chosen = np.array(labels), parse(spec)
    if len(labels) < num_shards * max(chosen.pieces, 1):
        with pytest.raises(PartitionError, match="too few"):
            shards(labels, chosen, num_shards, seed)
        return
    parts = shards(labels, chosen, num_shards, seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert min(len(part) for part in parts) >= 1
