"""What a strategy has a client keep: it belongs to the update that counted, and gives the same bytes again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clientagent import keeping
from clientagent.by_update import ByUpdate, LastUpdate
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.errors import Failed
from clientagent.hands import Bench
from clientagent.keeping import Kept
from clientagent.kinds import evaluation, training
from clientagent.kinds.training import Trainer, TrainingWork
from clientagent.settings import Settings
from federation.fl import weights, workloads
from federation.fl.workloads import WORKLOADS
from tests.clientagent.fake_server import FakeServer

SITE = Settings(samples=60)


@pytest.fixture
def work(server: FakeServer) -> TrainingWork:
    return asking(training.parse(server.offer("digits").work), control_variates=1.0, local_steps=1.0)


@pytest.fixture
def files(tmp_path: Path) -> ByUpdate:
    (tmp_path / "kept").mkdir()
    return ByUpdate(tmp_path / "kept")


def asking(work: TrainingWork, **config: float) -> TrainingWork:
    return replace(work, config={**work.config, **config})


def train(work: TrainingWork, folder: Path, kept: Kept | None) -> str:
    base = folder / "base"
    workloads.get("digits").write_initial(base, work.options, 1)
    site = Trainer(SiteData(SITE), Device(SITE.device, SITE.threads))
    return site.update(work, base, folder / "update", lambda *_: True, None, kept)


def sent(folder: Path, value: float) -> Path:
    """The strategy's slot with one value in every tensor, beside a scalar."""
    shapes = {name: array.shape for name, array in weights.load(folder / "base").items()}
    slots = {f"c/{name}": np.full(shape, value) for name, shape in shapes.items()}
    weights.save(folder / "slots", {**slots, "scalar/population": np.zeros(())})
    return folder / "slots"


def kept_with(files: ByUpdate, work: TrainingWork, digest: str, group: str = keeping.RULE) -> weights.Weights:
    found = files.find(LastUpdate(work.participation, digest))
    assert found
    return keeping.group(found, group)


def test_a_control_variate_is_the_mean_gradient(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    """Without c and c_i, and without corrections, it is (x - y) / (K * eta)."""
    digest = train(work, tmp_path, Kept(files, None, None))
    header = weights.read_header(tmp_path / "update").metadata
    scale = int(header["local_steps"]) * work.config["learning_rate"]
    for name, delta in weights.load(tmp_path / "update").items():
        np.testing.assert_array_equal(kept_with(files, work, digest)[name], -delta.astype(np.float64) / scale)


def test_what_is_kept_and_what_is_sent_bend_the_training(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    plain = train(work, tmp_path, Kept(files, None, None))
    own = files.find(LastUpdate(work.participation, plain))
    bent = [train(work, tmp_path, kept) for kept in (Kept(files, own, None), Kept(files, own, sent(tmp_path, 0.1)))]
    assert len({plain, *bent}) == 3


def test_a_correction_is_added_to_every_step(work: TrainingWork, files: ByUpdate, tmp_path: Path, monkeypatch: Any):
    """With a loss without slope, each of K steps of eta moves every weight by -eta * c."""
    monkeypatch.setattr(WORKLOADS["digits"], "losses", lambda outputs, labels: 0 * outputs.sum(dim=1))
    train(work, tmp_path, Kept(files, None, None))
    digest = train(work, tmp_path, Kept(files, None, sent(tmp_path, 0.5)))
    steps = int(weights.read_header(tmp_path / "update").metadata["local_steps"])
    moved = weights.load(tmp_path / "update")
    for name, delta in moved.items():
        np.testing.assert_allclose(delta, -steps * work.config["learning_rate"] * 0.5, rtol=1e-4)
        np.testing.assert_allclose(kept_with(files, work, digest)[name], 0, atol=1e-4)  # 0 - c + c


def test_the_same_work_gives_the_same_bytes_and_keeps_the_same(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    first = train(work, tmp_path, Kept(files, None, None))
    before = kept_with(files, work, first)
    assert train(work, tmp_path, Kept(files, None, None)) == first
    again = kept_with(files, work, first)
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in again.items()
    }


def test_work_that_did_not_count_leaves_no_trace(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    counted = LastUpdate(work.participation, train(work, tmp_path, Kept(files, None, None)))
    dropped = replace(asking(work, seed=8), participation="77", last_update=counted)
    train(dropped, tmp_path, Kept(files, files.find(counted), None))
    assert files.find(counted), "the next work goes by the one that counted"


def test_a_damaged_file_is_named(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    counted = LastUpdate(work.participation, train(work, tmp_path, Kept(files, None, None)))
    path = files.find(counted)
    assert path
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(Failed, match="is damaged: .*Remove the file to begin anew"):
        files.find(counted)


def test_a_workload_that_does_not_tell_its_steps_gives_the_work_up(
    work: TrainingWork, files: ByUpdate, tmp_path: Path, monkeypatch: Any
):
    trained = WORKLOADS["digits"].local_update

    monkeypatch.setattr(WORKLOADS["digits"], "local_update", lambda *given: replace(trained(*given), local_steps=None))
    with pytest.raises(Failed, match="does not tell its steps, which the strategy needs"):
        train(work, tmp_path, Kept(files, None, None))


def test_the_linear_term_is_kept_by_its_own_rule(server: FakeServer, files: ByUpdate, tmp_path: Path):
    work = asking(training.parse(server.offer("digits").work), feddyn_alpha=0.5)
    digest = train(work, tmp_path, Kept(files, None, None))
    for name, delta in weights.load(tmp_path / "update").items():
        np.testing.assert_array_equal(kept_with(files, work, digest)[name], -0.5 * delta.astype(np.float64))


def test_work_of_other_strategies_keeps_nothing(server: FakeServer, files: ByUpdate, tmp_path: Path):
    train(training.parse(server.offer("digits").work), tmp_path, None)
    assert files.is_empty


# ---- tensors that stay at the site

HEAD = ("fc2.bias", "fc2.weight")


@pytest.fixture
def staying_work(server: FakeServer) -> TrainingWork:
    return training.parse(server.offer("digits", stays=list(HEAD)).work)


def test_what_stays_is_not_in_the_update(staying_work: TrainingWork, files: ByUpdate, tmp_path: Path):
    train(staying_work, tmp_path, Kept(files, None, None))
    sent_names = weights.read_header(tmp_path / "update").tensors.keys()
    assert sent_names == weights.read_header(tmp_path / "base").tensors.keys() - set(HEAD)


@pytest.mark.parametrize("encoding", ["int8", "topk", "float16"])
def test_nor_is_it_in_an_encoded_one(staying_work: TrainingWork, files: ByUpdate, tmp_path: Path, encoding: str):
    options = {"fraction": 0.1} if encoding == "topk" else {}
    train(replace(staying_work, encoding=encoding, encoding_options=options), tmp_path, Kept(files, None, None))
    names = weights.read_header(tmp_path / "update").tensors
    assert names and not any(name.endswith(HEAD) for name in names)


def test_a_new_site_begins_with_the_models_values_and_trains_all_of_it(
    staying_work: TrainingWork, files: ByUpdate, tmp_path: Path
):
    """What stays and what travels are together what a client of a usual session would have sent."""
    train(replace(staying_work, stays=()), tmp_path, None)
    whole = weights.load(tmp_path / "update")
    digest = train(staying_work, tmp_path, Kept(files, None, None))
    base, own = weights.load(tmp_path / "base"), kept_with(files, staying_work, digest, keeping.STAYS)
    assert own.keys() == set(HEAD)
    for name in HEAD:
        np.testing.assert_allclose(own[name], base[name] + whole[name], rtol=1e-6)
        assert own[name].dtype == np.float32
    for name, delta in weights.load(tmp_path / "update").items():
        np.testing.assert_array_equal(delta, whole[name])


def test_the_next_training_begins_with_the_sites_own(staying_work: TrainingWork, files: ByUpdate, tmp_path: Path):
    """A base with other values there makes the same update: the download does not overwrite what stays."""
    counted = LastUpdate(staying_work.participation, train(staying_work, tmp_path, Kept(files, None, None)))
    own = files.find(counted)
    first = train(staying_work, tmp_path, Kept(files, own, None))
    base = weights.load(tmp_path / "base")
    moved = tmp_path / "moved"
    moved.mkdir()
    weights.save(moved / "base", base | {name: base[name] + 1 for name in HEAD})
    site = Trainer(SiteData(SITE), Device(SITE.device, SITE.threads))
    site.update(staying_work, moved / "base", moved / "update", lambda *_: True, None, Kept(files, own, None))
    one, other = weights.load(tmp_path / "update"), weights.load(moved / "update")
    assert {name: array.tobytes() for name, array in one.items()} == {n: a.tobytes() for n, a in other.items()}
    assert train(staying_work, tmp_path, Kept(files, own, None)) == first
    assert first != counted.digest


def test_a_strategys_state_and_the_sites_own_tensors_are_kept_together(
    staying_work: TrainingWork, files: ByUpdate, tmp_path: Path
):
    work = asking(staying_work, control_variates=1.0, local_steps=1.0)
    digest = train(work, tmp_path, Kept(files, None, None))
    assert kept_with(files, work, digest, keeping.STAYS).keys() == set(HEAD)
    assert kept_with(files, work, digest).keys().isdisjoint(HEAD) and kept_with(files, work, digest)


def test_a_tensor_that_the_model_does_not_have_cannot_stay(staying_work: TrainingWork, files: ByUpdate, tmp_path: Path):
    with pytest.raises(Failed, match="'fc9.weight' is to stay here, but the model does not have it"):
        train(replace(staying_work, stays=("fc9.weight",)), tmp_path, Kept(files, None, None))


# ---- a model of the site's own beside the shared one (Ditto)


@pytest.fixture
def ditto(server: FakeServer) -> TrainingWork:
    return asking(training.parse(server.offer("digits").work), ditto_lambda=2.0)


def test_the_update_is_that_of_a_usual_session(ditto: TrainingWork, files: ByUpdate, tmp_path: Path):
    train(ditto, tmp_path, Kept(files, None, None))
    found = weights.load(tmp_path / "update")
    usual = {name: value for name, value in ditto.config.items() if name != "ditto_lambda"}
    train(replace(ditto, config=usual), tmp_path, None)
    expected = weights.load(tmp_path / "update")
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in expected.items()}


def test_the_own_model_is_drawn_to_the_received_one_by_lambda(
    ditto: TrainingWork, files: ByUpdate, tmp_path: Path, monkeypatch: Any
):
    """Without a slope of the loss, each of K steps of eta takes eta * lambda of the distance: (1 - eta * lambda)^K."""
    monkeypatch.setattr(WORKLOADS["digits"], "losses", lambda outputs, labels: 0 * outputs.sum(dim=1))
    train(asking(ditto, local_steps=1.0), tmp_path, Kept(files, None, None))
    steps = int(weights.read_header(tmp_path / "update").metadata["local_steps"])
    base = weights.load(tmp_path / "base")
    weights.save(tmp_path / "own", {f"own/{name}": array + 1 for name, array in base.items()})
    digest = train(ditto, tmp_path, Kept(files, tmp_path / "own", None))
    left = (1 - 2.0 * ditto.config["learning_rate"]) ** steps
    for name, own in kept_with(files, ditto, digest, keeping.OWN).items():
        np.testing.assert_allclose(own - base[name], left, rtol=1e-4)


def test_without_lambda_it_is_the_models_of_a_site_alone(ditto: TrainingWork, files: ByUpdate, tmp_path: Path):
    alone = asking(ditto, ditto_lambda=0.0)
    digest = train(alone, tmp_path, Kept(files, None, None))
    base, delta = weights.load(tmp_path / "base"), weights.load(tmp_path / "update")
    for name, own in kept_with(files, alone, digest, keeping.OWN).items():
        np.testing.assert_allclose(own, base[name] + delta[name], rtol=1e-6, atol=1e-7)


def test_the_own_model_goes_on_and_the_same_work_gives_the_same_bytes(
    ditto: TrainingWork, files: ByUpdate, tmp_path: Path
):
    first = LastUpdate(ditto.participation, train(ditto, tmp_path, Kept(files, None, None)))
    own, following = files.find(first), replace(asking(ditto, seed=9), participation="78", last_update=first)
    made = [(train(following, tmp_path, Kept(files, own, None)), said(tmp_path)) for _ in range(2)]
    assert made[0] == made[1] and own
    assert {"personal_val_accuracy", "personal_train_loss", "val_accuracy"} <= made[0][1].keys()
    before, after = keeping.group(own, keeping.OWN), kept_with(files, following, made[0][0], keeping.OWN)
    assert before.keys() == after.keys() and any((before[name] != after[name]).any() for name in after)


def said(folder: Path) -> Any:
    return json.loads(weights.read_header(folder / "update").metadata["metrics"])


def test_points_of_both_trainings_are_told_in_one_course(ditto: TrainingWork, files: ByUpdate, tmp_path: Path):
    workloads.get("digits").write_initial(tmp_path / "base", ditto.options, 1)
    told: list[tuple[int, int, str]] = []

    def report(phase: str, step: int, total: int, metrics: Any) -> bool:
        told.extend((step, total, name) for name in metrics if phase == "training")
        return True

    Trainer(SiteData(SITE), Device(SITE.device, SITE.threads)).update(
        ditto, tmp_path / "base", tmp_path / "update", report, None, Kept(files, None, None)
    )
    steps = [step for step, _, _ in told]
    assert steps == [*range(1, told[0][1] + 1)] and {total for _, total, _ in told} == {len(steps)}
    half = len(steps) // 2
    assert {name for _, _, name in told[:half]} == {"train_loss"}
    assert {name for _, _, name in told[half:]} == {"personal_train_loss"}


@pytest.mark.parametrize("what", [keeping.STAYS, keeping.OWN])
def test_an_evaluation_measures_the_sites_own_model_beside_the_shared_one(
    server: FakeServer, tmp_path: Path, what: str
):
    """The shared model's head is spoilt: the numbers of the own one, which has its head, are better."""
    workloads.get("digits").write_initial(tmp_path / "model", {}, 1)
    model = weights.load(tmp_path / "model")
    work = evaluation.parse(server.offer("digits", kind="evaluate", stays=list(HEAD)).work)
    bench = Bench(SiteData(SITE), Device(SITE.device, SITE.threads))
    alone = json.loads(evaluation.measure(bench, lambda *_: True, work, tmp_path / "model"))["metrics"]
    names = HEAD if what == keeping.STAYS else tuple(model)
    weights.save(tmp_path / "kept", {f"{what}/{name}": model[name] for name in names})
    weights.save(tmp_path / "spoilt", model | {name: 0 * model[name] for name in HEAD})
    found = json.loads(evaluation.measure(bench, lambda *_: True, work, tmp_path / "spoilt", tmp_path / "kept"))[
        "metrics"
    ]
    assert {name: found[f"personal_{name}"] for name in alone} == alone
    assert found["loss"] != alone["loss"]


def test_fine_tuning_trains_before_the_own_model_is_measured(server: FakeServer, tmp_path: Path):
    """What it measures is what a training from the shared model says of its trained model; no point is told."""
    work = training.parse(server.offer("digits").work)
    train(work, tmp_path, None)
    trained = said(tmp_path)
    told: list[str] = []

    def report(phase: str, step: int, total: int, metrics: Any) -> bool:
        told.extend(metrics)
        return True

    asked = evaluation.parse(server.offer("digits", kind="evaluate", fine_tune=dict(work.config)).work)
    bench = Bench(SiteData(SITE), Device(SITE.device, SITE.threads))
    found = json.loads(evaluation.measure(bench, report, asked, tmp_path / "base"))["metrics"]
    assert found["accuracy"] == trained["base_val_accuracy"]
    assert found["personal_accuracy"] == trained["val_accuracy"]
    assert found["personal_loss"] == pytest.approx(trained["val_loss"], rel=1e-5)
    assert not any(name.startswith(("train_", "val_")) for name in told)


# ---- frozen tensors


def test_what_is_frozen_is_neither_trained_nor_sent(server: FakeServer, files: ByUpdate, tmp_path: Path):
    work = training.parse(server.offer("digits", frozen=list(HEAD)).work)
    train(work, tmp_path, None)
    base, sent_ = weights.load(tmp_path / "base"), weights.load(tmp_path / "update")
    assert sent_.keys() == base.keys() - set(HEAD) and all(delta.any() for delta in sent_.values())


def test_with_an_own_model_it_stays_as_it_came_there_too(server: FakeServer, files: ByUpdate, tmp_path: Path):
    work = asking(training.parse(server.offer("digits", frozen=list(HEAD)).work), ditto_lambda=1.0)
    digest = train(work, tmp_path, Kept(files, None, None))
    base, own = weights.load(tmp_path / "base"), kept_with(files, work, digest, keeping.OWN)
    assert {name for name in own if (own[name] == base[name]).all()} == set(HEAD)


def test_a_workload_that_trains_what_is_frozen_gives_the_work_up(server: FakeServer, tmp_path: Path):
    work = training.parse(server.offer(frozen=["weight"]).work)
    workloads.get("synthetic").write_initial(tmp_path / "base", work.options, 1)
    site = Trainer(SiteData(SITE), Device(SITE.device, SITE.threads))
    with pytest.raises(Failed, match="'synthetic' trains 'weight', which the session freezes"):
        site.update(work, tmp_path / "base", tmp_path / "update", lambda *_: True, None, None)
