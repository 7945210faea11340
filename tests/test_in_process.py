"""What benchmarks share: sessions in one process, and what is kept of those that were played."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import learning, learning_picture, lies, played, privacy, robustness
from benchmarks.in_process import Begun, Kept, Session
from federation.fl import aggregation, strategies, weights
from federation.fl.aggregation import SpoiltModel, UpdateFile
from federation.fl.workloads.digits import Digits
from federation.fl.workloads.workload import LocalUpdate

pytest.importorskip("torch")


def moving(by: float, begun: Begun) -> list[UpdateFile]:
    """Two clients whose every value moves by so much, and by three times as much."""
    updates = [
        LocalUpdate({name: np.full_like(one, by * times) for name, one in begun.base.items()}, 1, {}, local_steps=2)
        for times in (1, 3)
    ]
    return [begun.file(client, update) for client, update in enumerate(updates)]


def test_each_round_begins_with_the_model_of_the_one_before(tmp_path: Path):
    session, found = Session(Digits(), strategies.build("fedavg", {}), seed=1), []
    for made in session.rounds(3, tmp_path, partial(moving, 0.5)):
        found.append((made.number, weights.load(made.model)))
        assert made.made.norms[1] == pytest.approx(3 * made.made.norms[0])
    first = Digits().initial_weights({}, 1)
    assert [number for number, _ in found] == [1, 2, 3]
    for number, model in found:
        assert all(np.allclose(model[name], first[name] + number, atol=1e-5) for name in first)


def test_what_a_strategy_keeps_goes_on_from_round_to_round(tmp_path: Path):
    """FedAvgM with momentum 1 moves twice as far in its second round of equal updates."""
    session = Session(Digits(), strategies.build("fedavgm", {"momentum": 0.5}), seed=1)
    first = Digits().initial_weights({}, 1)
    models = [weights.load(made.model) for made in session.rounds(2, tmp_path, partial(moving, 0.5))]
    for name in first:
        assert np.allclose(models[1][name] - first[name], 1 + 1.5, atol=1e-5)


def test_clients_are_sent_the_slot_and_keep_their_state(tmp_path: Path):
    strategy, sent = strategies.build("scaffold", {}), []
    kept = Kept.of(strategy, 0.1)

    def clients(begun: Begun) -> list[UpdateFile]:
        sent.append(begun.sent)
        for client in (0, 1):
            update = LocalUpdate({name: np.ones_like(one) for name, one in begun.base.items()}, 1, {}, local_steps=2)
            kept.keep(client, begun.sent, update)
        return moving(1.0, begun)

    session = Session(Digits(), strategy, seed=1, population=2, learning_rate=0.1)
    list(session.rounds(2, tmp_path, clients))
    assert sent[0] == {} and set(sent[1]) == set(Digits().initial_weights({}, 1))
    name = next(iter(sent[1]))
    assert np.allclose(sent[1][name], -(1 + 3) / 2 / (2 * 0.1))  # the mean of -delta / (K eta)
    # c_i - c - delta / (K eta), of a client that kept -5 and was sent -10
    assert np.allclose(kept.own[0][name], -5 + 10 - 5)
    assert np.allclose(kept.correction(0, sent[1])[name], -10)


def test_old_models_are_not_kept(tmp_path: Path):
    session = Session(Digits(), strategies.build("fedadam", {}), seed=1)
    list(session.rounds(3, tmp_path, partial(moving, 0.1)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model-3", "slots-3", "update-0", "update-1"]


# ---- the benchmarks themselves


def test_a_strategy_learns_digits_and_tells_its_curve():
    told = learning.play(learning.Trial("digits", "scaffold", "iid", seed=1, rounds=3))
    learnt = learning.Learnt(**told)
    assert len(learnt.accuracy) == 3 and learnt.accuracy[-1] > 0.8 and learnt.worst > 0.7
    assert learnt.rounds_to_target == next(n for n, one in enumerate(learnt.accuracy, 1) if one >= 0.8)
    assert json.loads(json.dumps(told)) == told


def test_a_mean_is_spoilt_by_a_liar_and_a_robust_rule_is_not():
    flipped = {
        name: robustness.final(robustness.play(robustness.Trial(name, "sign flip", seed=1, rounds=2)))
        for name in ("fedavg", "trimmed_mean, mixing")
    }
    assert flipped["fedavg"] < 30 < 60 < flipped["trimmed_mean, mixing"]


def test_a_session_that_is_spoilt_counts_as_guessing(monkeypatch: pytest.MonkeyPatch):
    def spoilt(*_: Any, **__: Any) -> None:
        raise SpoiltModel("It would hold a value that is not finite.")

    monkeypatch.setattr(aggregation, "aggregate", spoilt)
    told = robustness.play(robustness.Trial("fedavg", robustness.NONE, seed=1, rounds=2))
    assert told == {"accuracy": [], "spoilt": True} and robustness.final(told) == robustness.GUESSING


@pytest.mark.parametrize(
    "seeds, cell",
    [([97, 99], " 98.0 ± 1.0"), ([95.9, 95.9], "> 95.9 ± 0.0"), ([90, 95], ">! 92.5 ± 2.5"), ([96], " 96.0 ± 0.0")],
)
def test_a_loss_is_marked_beside_the_rule_itself_and_beside_federated_averaging(seeds: list[float], cell: str):
    assert robustness._cell(seeds, own=98, fedavg=98) == cell


def test_liars_send_what_their_lie_says_and_the_others_what_they_trained(tmp_path: Path):
    def sent(lie: str) -> tuple[list[weights.Weights], list[int]]:
        trial = robustness.Trial("fedavg", lie, seed=1, rounds=1)
        folder = tmp_path / lie
        folder.mkdir()
        begun = Begun(1, Digits().initial_weights({}, 1), {}, folder)
        found = robustness.updates(trial, Digits(), robustness.shards(trial), begun)
        return [weights.load(one.path) for one in found], [one.num_examples for one in found]

    honest, examples = sent(robustness.NONE)
    mimicked, same_examples = sent("mimic")
    claimed, many = sent(lies.CLAIMING)
    assert same_examples == examples and many[:-2] == examples[:-2] and many[-2:] == [lies.EXAMPLES] * 2
    for name in honest[0]:
        assert all((mimicked[client][name] == honest[client][name]).all() for client in range(8))
        assert all((mimicked[client][name] == honest[0][name]).all() for client in (8, 9))
        assert (claimed[9][name] == -8 * honest[9][name]).all()


def test_the_attack_of_a_private_session_is_measured():
    told = privacy.play(privacy.Trial(1.0, clients=4, rounds=1, seed=1, wrong_labels=0.0))
    attacked = privacy.Attacked(**told)
    assert len(attacked.inside) == len(attacked.outside) == 4
    assert 0 <= attacked.auc <= 1 and json.loads(json.dumps(told)) == told


# ---- what is kept


@dataclass(frozen=True)
class Sum:
    one: int
    scale: int = 1

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"scale": SCALE * self.scale}


SCALE = 1


def add(trial: Sum) -> dict[str, Any]:
    return {"sum": trial.one + 1}


def refuse(trial: Sum) -> dict[str, Any]:
    raise AssertionError(f"{trial} is known")


TRIALS = [Sum(1), Sum(2)]


def test_what_was_played_is_not_played_again(tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    told = played.all_of(TRIALS, add, processes=1, kept=kept)
    assert told == {TRIALS[0]: {"sum": 2}, TRIALS[1]: {"sum": 3}}
    assert played.all_of(TRIALS, refuse, processes=1, kept=kept) == told


def test_a_line_whose_writer_was_killed_is_played_again(tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    told = played.all_of(TRIALS, add, processes=1, kept=kept)
    whole = kept.read_bytes()
    for end in range(len(whole)):
        kept.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n") + (whole[end : end + 1] == b"\n")
        known = dict(played._read(kept))
        assert len(known) == lines, end
    kept.write_bytes(whole[:-9])
    assert played.all_of(TRIALS, add, processes=1, kept=kept) == told
    assert played.all_of(TRIALS, refuse, processes=1, kept=kept) == told


def test_what_was_played_with_other_settings_is_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = tmp_path / "kept.jsonl"
    played.all_of(TRIALS, add, processes=1, kept=kept)
    monkeypatch.setattr(f"{__name__}.SCALE", 2)
    with pytest.raises(AssertionError, match="is known"):
        played.all_of(TRIALS, refuse, processes=1, kept=kept)


@pytest.mark.parametrize("module", [learning, robustness])
def test_a_changed_setting_of_training_is_another_session(module: Any, monkeypatch: pytest.MonkeyPatch):
    def key() -> str:
        if module is learning:
            return played._key(learning.Trial("digits", "fedavg", "iid", 1, 2))
        return played._key(robustness.Trial("fedavg", "mimic", 1, 2))

    before = key()
    assert key() == before
    monkeypatch.setattr(module, "CLIENTS", 9)
    assert key() != before


# ---- pictures


def line(strategy: str, seed: int, accuracy: list[float], split: str = "iid", data: str = "digits") -> str:
    trial = {"data": data, "strategy": strategy, "split": split, "seed": seed, "rounds": len(accuracy)}
    return json.dumps({"trial": trial, "settings": {}, "told": {"accuracy": accuracy, "worst": 0.5}})


def test_a_curve_is_the_mean_of_its_seeds_by_split_and_data():
    lines = [
        *(line("fedavg", 1, [0.5, 0.8]), line("fedavg", 2, [0.7, 0.9])),
        *(line("fedavg", 1, [0.1], split="shards:2"), line("fedavg", 1, [0.2], data="other")),
    ]
    found = learning_picture.read("\n".join(lines), "digits")
    assert found["iid"]["fedavg"] == pytest.approx([0.6, 0.85])
    assert found["shards:2"]["fedavg"] == [0.1] and len(found) == 2


def test_a_picture_has_every_strategy_and_is_well_formed():
    curves = {name: [0.1, 0.6, 0.9] for name in strategies.STRATEGIES if name != "ditto"}
    root = ElementTree.fromstring(learning_picture.svg(curves))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(curves) <= set(texts) and texts.count("fedavg") == len(learning_picture.PANELS)
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == len(curves) - 1 + len(learning_picture.PANELS)
    named = {name for names in learning_picture.PANELS.values() for name in names}
    assert named | {"fedavg"} == set(curves)  # a new strategy needs its place


@given(st.lists(st.floats(44, 304), min_size=1, max_size=9))
def test_names_beside_lines_never_overlap_and_keep_their_order(wanted: list[float]):
    found = learning_picture.spread({str(place): y for place, y in enumerate(wanted)})
    order = sorted(found, key=lambda name: found[name])
    assert [wanted[int(name)] for name in order] == sorted(wanted)
    gaps = [found[after] - found[before] for before, after in pairwise(order)]
    assert all(gap >= learning_picture.APART - 1e-9 for gap in gaps)
    assert max(found.values()) <= 304 + 1e-9


def test_the_pictures_are_written_where_the_page_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = tmp_path / "kept.jsonl"
    kept.write_text(line("fedavg", 1, [0.5, 0.8]) + "\n" + line("fedprox", 1, [0.5, 0.8], split="dirichlet:0.1"))
    monkeypatch.setattr("sys.argv", ["learning_picture.py", str(kept), "--out", str(tmp_path)])
    learning_picture.main()
    assert {path.name for path in tmp_path.glob("*.svg")} == {"digits-iid.svg", "digits-dirichlet.svg"}
