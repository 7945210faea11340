"""Buffers: how they are found, how they travel, and how clients' values of them become the model's."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import aggregation, encodings, roles, weights
from federation.fl.aggregation import SpoiltModel, UpdateFile
from federation.fl.defences import Defence
from federation.fl.files import encoded, updates
from federation.fl.files.updates import UpdateError
from federation.fl.strategies import STRATEGIES, Launch, build
from federation.fl.weights import WeightsError
from tests.properties import PROPERTY

MEAN, VAR, COUNT = "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"
BUFFERS = [MEAN, COUNT, VAR]
MODEL = {
    "w": np.float32([1, 2, 3]),
    MEAN: np.float32([0.1, -0.2]),
    VAR: np.float32([0.9, 0.05]),
    COUNT: np.array(100, np.int64),
}
# of one update; the others have tests of their own
OF_ONE = [name for name in STRATEGIES if build(name, {}).misfit(Launch(quorum=1)) is None]
ENCODED = ("float16", "int8", "topk")


def model(mean=(0.1, -0.2), var=(0.9, 0.05), count=100, w=(1, 2, 3)):
    return {"w": np.float32(w), MEAN: np.float32(mean), VAR: np.float32(var), COUNT: np.array(count, np.int64)}


def header(tmp_path, tensors, metadata=None):
    weights.save(tmp_path / "model", tensors, metadata)
    return weights.read_header(tmp_path / "model")


# ---- which they are


def test_what_the_workload_declares_is_a_buffer_and_what_no_gradient_trains(tmp_path):
    found = header(tmp_path, {"a": np.float32([1]), "b": np.float32([1]), "ids": np.int32([1]), **MODEL})
    assert roles.buffers(found, ["b"]) == ["b", COUNT, "ids"]


def test_a_file_names_its_buffers(tmp_path):
    tensors = {"a": np.float32([1]), VAR: np.float32([1])}
    assert roles.buffers(header(tmp_path, tensors, {"buffers": '["a"]'})) == ["a"]
    assert roles.buffers(header(tmp_path, tensors, {"buffers": "[]"})) == []


def test_without_a_word_names_and_types_decide(tmp_path):
    assert roles.buffers(header(tmp_path, {**MODEL, "running_variance": np.float32([1])})) == sorted(BUFFERS)


@pytest.mark.parametrize("told", ["no", "{}", "[1]", '["other"]', "[" * 100_000])
def test_metadata_that_name_no_tensors_are_refused(tmp_path, told):
    with pytest.raises(WeightsError, match="The metadata buffers"):
        roles.buffers(header(tmp_path, MODEL, {"buffers": told}))


# ---- what is made of them


@pytest.fixture
def play(tmp_path):
    """Aggregates what clients hold after training. bases: of each of them, where it is another one than the round's."""

    def play(locals_, base=MODEL, examples=None, strategy="fedavg", options=None, bases=None, buffers=BUFFERS, **more):
        weights.save(tmp_path / "base", base)
        files = []
        for row, local in enumerate(locals_):
            own = (bases or {}).get(row, base)
            weights.save(tmp_path / f"base-{row}", own)
            delta = {name: weights.difference(name, array, own[name]) for name, array in local.items()}
            weights.save(tmp_path / f"update-{row}", delta, {"local_steps": "5", "base_train_loss": "1.0"})
            norm = float(np.sqrt(sum((delta[name].astype(float) ** 2).sum() for name in ("w",))))
            own_file = tmp_path / f"base-{row}" if row in (bases or {}) else None
            count = (examples or [10] * len(locals_))[row]
            files.append(UpdateFile(tmp_path / f"update-{row}", count, norm=norm, base=own_file))
        made = aggregation.aggregate(
            build(strategy, options or {}),
            base=tmp_path / "base",
            base_slots=None,
            updates=files,
            out=tmp_path / "out",
            out_slots=tmp_path / "out-slots",
            buffers=buffers,
            on_block=lambda: None,
            **more,
        )
        return weights.load(tmp_path / "out"), made

    return play


@pytest.mark.parametrize("strategy", ["fedavg", "fedadam"])
def test_a_mean_is_of_the_clients_own_values_weighed_by_their_examples(play, strategy):
    clients = [model(var=(1.0, 0.5), count=110), model(var=(0.0, 0.1), count=130)]
    new, _ = play(clients, examples=[30, 10], strategy=strategy, options={"server_lr": 10.0})
    np.testing.assert_allclose(new[VAR], [0.75, 0.4], rtol=1e-6)
    assert new[COUNT].tolist() == 115 and new[COUNT].dtype == np.int64


@pytest.mark.parametrize("strategy", OF_ONE)
def test_one_client_gives_exactly_its_own_values(play, strategy):
    own = model(mean=(1e-8, 7.7), var=(1e-12, 12_300.5), count=2**60 + 1)
    new, _ = play([own], strategy=strategy)
    assert all(new[name].tobytes() == own[name].tobytes() for name in (COUNT,))
    np.testing.assert_allclose(new[VAR], own[VAR], rtol=1e-6, atol=1e-8)
    assert (new[VAR] >= 0).all()


def test_a_liar_moves_no_counter_and_no_statistic_under_the_median(play):
    honest = [model(var=(0.8 + k / 10, 0.1), count=104) for k in range(4)]
    liar = model(var=(3e30, 3e30), count=-(10**18))
    new, _ = play([*honest, liar], examples=[10, 10, 10, 10, 10**12], strategy="fedmedian")
    assert new[COUNT].tolist() == 104
    assert 0.8 <= new[VAR][0] <= 1.1 and new[VAR][1] == np.float32(0.1)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
@pytest.mark.parametrize("strategy", OF_ONE)
def test_integers_at_the_ends_of_their_type_stay_within_the_clients_values(play, dtype, strategy):
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    for own in ([highest, highest - 1], [lowest, lowest + 1], [highest - 3, highest]):
        base = {"w": np.float32([0]), "ids": np.array([100, -100], dtype)}
        clients = [{"w": np.float32([0]), "ids": np.array([one, one], dtype)} for one in own]
        with np.errstate(over="ignore"):  # a difference wraps around, and so does its sum with the base
            new, _ = play(clients, base, examples=[1, 10**12], strategy=strategy, buffers=["ids"])
        assert new["ids"].dtype == dtype
        assert all(min(own) <= value <= max(own) for value in new["ids"].tolist())


def test_late_updates_count_by_the_values_of_their_own_base(play):
    older = model(var=(5.0, 5.0), count=10)
    clients = [model(var=(1.0, 1.0), count=110), model(var=(2.0, 2.0), count=20)]
    new, _ = play(clients, bases={1: older})
    np.testing.assert_allclose(new[VAR], [1.5, 1.5], rtol=1e-6)
    assert new[COUNT].tolist() == 65


def test_optimizer_clipping_norms_and_cosines_leave_buffers_alone(play, tmp_path):
    clients = [
        model(w=(1, 2, 3.001), var=(1, 1)),
        model(w=(1, 2, 3.002), var=(3, 3)),
        model(w=(1, 2, 1000), var=(5, 5)),
    ]
    new, made = play(clients, strategy="fedadam", defences=[Defence.NORMS])
    assert made.clipped is not None and made.clipped.rows == [2]
    np.testing.assert_allclose(new[VAR], [3.0, 3.0], rtol=1e-6)  # of the clipped one in full
    assert made.norms[:2] == pytest.approx([0.001, 0.002], rel=1e-3)
    assert made.cosines == pytest.approx([1.0, 1.0, 1.0])
    assert weights.read_header(tmp_path / "out-slots").tensors.keys() == {"m/w", "v/w"}


def test_no_client_alone_may_hold_what_cannot_be_stored(play):
    half = {"w": np.float32([0]), VAR: np.float16([60_000])}
    huge = {"w": np.float32([0]), VAR: np.float16([30_000])}
    bases = {1: {"w": np.float32([0]), VAR: np.float16([-30_000])}}
    clients = [half, huge, half]
    assert play(clients, half, bases=bases, buffers=[VAR], strategy="fedmedian")[0][VAR].tolist() == [60_000]
    huge[VAR] = np.float16([60_000])  # its delta overflows
    with np.errstate(over="ignore"), pytest.raises(SpoiltModel, match="bn.running_var would hold") as error:
        play(clients, half, bases=bases, buffers=[VAR], defences=[Defence.FINITE])
    assert error.value.rows == (1,)


def test_without_roles_it_is_done_as_before(play):
    clients = [model(var=(0.5, 0.5), count=110), model(var=(0.1, 0.1), count=120)]
    new, made = play(clients, buffers=None, strategy="fedavg", options={"server_lr": 3.0})
    np.testing.assert_allclose(new[VAR], [0.9 + 3 * (0.3 - 0.9), 0.05 + 3 * (0.3 - 0.05)], rtol=1e-5)
    assert new[COUNT].tolist() == 115 and made.norms[0] > 0


values = st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=2)
counts = st.integers(-(2**62), 2**62)


@PROPERTY
@given(
    clients=st.lists(st.tuples(values, counts, st.integers(1, 10**12)), min_size=1, max_size=6),
    strategy=st.sampled_from(OF_ONE),
    old=st.lists(st.tuples(values, counts), max_size=2),
)
def test_a_buffer_stays_within_the_clients_values(play, clients, strategy, old):
    locals_ = [model(var=var, count=count) for var, count, _ in clients]
    bases = {row: model(var=var, count=count) for row, (var, count) in enumerate(old[: len(clients)])}
    new, _ = play(locals_, examples=[n for _, _, n in clients], strategy=strategy, bases=bases)
    for name in (VAR, COUNT):
        own = [
            (bases.get(row, MODEL)[name] + (local[name] - bases.get(row, MODEL)[name]))
            for row, local in enumerate(locals_)
        ]
        slack = 1e-6 * max(float(np.abs(each).max()) for each in own) if name == VAR else 0  # of a sum in float32
        assert (new[name] >= np.min(own, axis=0) - slack).all() and (new[name] <= np.max(own, axis=0) + slack).all()
    assert (new[VAR] >= 0).all()


# ---- on the wire


@pytest.fixture
def sent(tmp_path):
    """Writes and checks an encoded update of a client that knows what buffers are, or of one that does not."""
    weights.save(tmp_path / "base", MODEL)
    digest = hashlib.sha256((tmp_path / "base").read_bytes()).hexdigest()

    def sent(local, encoding, *, knows=True, **more):
        delta = {name: local[name] - MODEL[name] for name in MODEL}
        chosen = encodings.build(encoding, {})
        metadata = {"num_examples": "3", "base_digest": digest}
        known = {"buffers": BUFFERS} if knows else {}
        encoded.save(tmp_path / "update", delta, chosen, seed=1, metadata=metadata, **known, **more)
        return updates.check(
            tmp_path / "update",
            base=weights.read_header(tmp_path / "base"),
            base_digest=digest,
            encoding=chosen,
            buffers=BUFFERS,
            model=tmp_path / "base",
            sender="north",
        )

    return sent


@pytest.mark.parametrize("encoding", ENCODED)
def test_a_buffer_travels_in_full(sent, tmp_path, encoding):
    local = model(mean=(123_000.25, 1e-7), var=(0.1, 123_000.5), count=103, w=(1.5, 2, 3))
    assert sent(local, encoding).norm == pytest.approx(0.5, rel=1e-2)
    tensors = weights.load(tmp_path / "update")
    for name in BUFFERS:
        assert tensors[f"values/{name}"].tobytes() == np.asarray(local[name] - MODEL[name]).tobytes()
        assert not {f"scale/{name}", f"indices/{name}"} & tensors.keys()


@pytest.mark.parametrize("encoding", ["int8", "topk"])
def test_nothing_of_a_buffer_is_kept_for_later(sent, tmp_path, encoding):
    sent(model(var=(0.1, 0.3), w=(1.5, 2.25, 3)), encoding, left=tmp_path / "left")
    assert weights.read_header(tmp_path / "left").tensors.keys() == {"w"}


@pytest.mark.parametrize("encoding", ENCODED)
def test_an_update_encoded_the_old_way_is_taken(sent, play, tmp_path, encoding):
    found = sent(model(var=(0.95, 0.06), w=(1.5, 2, 3)), encoding, knows=False)
    assert found.norm == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("knows", [True, False])
def test_a_variance_below_zero_is_refused_with_tensor_and_client(sent, encoding, knows):
    with pytest.raises(UpdateError, match=r"bn\.running_var of north would be -0\.\d+, but a variance is never below"):
        sent(model(var=(-0.5, 0.06)), encoding, knows=knows)


def test_what_a_client_says_of_roles_is_json(tmp_path):
    weights.save(tmp_path / "m", MODEL, {roles.KEY: json.dumps(BUFFERS)})
    assert roles.buffers(weights.read_header(tmp_path / "m")) == sorted(BUFFERS)
