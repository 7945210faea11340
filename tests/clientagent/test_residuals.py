"""Error feedback that outlives a kill: a work that is done again finds what it found the first time."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.kinds import training
from clientagent.kinds.training import Trainer, TrainingWork
from clientagent.residuals import MOST_SESSIONS, Residuals
from clientagent.settings import Settings
from clientagent.state import State
from federation.fl import weights, workloads
from tests.clientagent.fake_server import FakeServer


@pytest.fixture
def residuals(tmp_path: Path) -> Residuals:
    state = State(tmp_path / "state")
    state.close()
    return state.residuals


def keep(residuals: Residuals, session: str, work: str, content: str) -> None:
    residuals.unfinished().write_text(content)
    residuals.keep(session, work, sha256(content.encode()).hexdigest())


def found(residuals: Residuals, session: str, work: str) -> str | None:
    path = residuals.before(session, work)
    return path.read_text() if path else None


def test_a_work_finds_what_the_one_before_it_left(residuals: Residuals):
    assert found(residuals, "s", "k1") is None
    keep(residuals, "s", "k1", "one")
    assert found(residuals, "s", "k2") == "one" and found(residuals, "other", "k2") is None
    keep(residuals, "s", "k2", "two")
    assert found(residuals, "s", "k3") == "two"


def test_a_work_done_again_finds_the_same_however_often(residuals: Residuals):
    keep(residuals, "s", "k1", "one")
    for _ in range(3):
        assert found(residuals, "s", "k2") == "one"
        keep(residuals, "s", "k2", "two")
    assert found(residuals, "s", "k1") == "two"


def test_at_most_two_of_a_session_and_four_sessions_are_kept(residuals: Residuals, tmp_path: Path):
    for session in range(MOST_SESSIONS + 2):
        for work in range(3):
            keep(residuals, f"s{session}", f"k{work}", f"{session} {work}")
    names = sorted(path.name.split(".")[0] for path in (tmp_path / "state" / "residuals").iterdir())
    assert names == [f"s{session}" for session in range(2, MOST_SESSIONS + 2) for _ in range(2)]
    assert found(residuals, "s5", "k9") == "5 2"


def test_a_damaged_residual_is_not_used(residuals: Residuals):
    keep(residuals, "s", "k1", "one")
    path = residuals.before("s", "k2")
    assert path is not None
    path.write_text("eno")
    assert found(residuals, "s", "k2") is None


def test_what_was_half_written_is_cleared_away_at_the_next_start(residuals: Residuals, tmp_path: Path):
    residuals.unfinished().write_text("half")
    State(tmp_path / "state").close()
    assert not residuals.unfinished().exists()


@pytest.fixture
def work(server: FakeServer) -> TrainingWork:
    return training.parse(server.offer(encoding="topk", encoding_options={"fraction": 0.1}).work)


def update(work: TrainingWork, folder: Path, residuals: Residuals | None) -> bytes:
    base, out = folder / "base", folder / "update"
    workloads.get(work.workload).write_initial(base, work.options, 1)
    trainer = Trainer(SiteData(Settings(workload="synthetic")), Device("auto", 1))
    trainer.update(work, base, out, lambda *_: True, residuals)
    return out.read_bytes()


@pytest.mark.parametrize("encoding", ["int8", "topk"])
def test_each_update_says_what_the_last_one_could_not(
    work: TrainingWork, tmp_path: Path, residuals: Residuals, encoding: str
):
    first = replace(work, encoding=encoding, encoding_options={})
    second = replace(first, participation="2")
    assert update(first, tmp_path, residuals) == update(first, tmp_path, residuals) == update(first, tmp_path, None)
    fed = update(second, tmp_path, residuals)
    assert fed == update(second, tmp_path, residuals) != update(second, tmp_path, None)


def test_what_cannot_be_said_differently_leaves_nothing(work: TrainingWork, tmp_path: Path, residuals: Residuals):
    update(replace(work, encoding="float16", encoding_options={}), tmp_path, residuals)
    assert not list((tmp_path / "state" / "residuals").iterdir())


def test_the_residual_is_kept_before_the_update_is_known(work: TrainingWork, tmp_path: Path, residuals: Residuals):
    update(work, tmp_path, residuals)
    path = residuals.before(work.session_key, "the next")
    assert path is not None and weights.read_header(path).tensors["weight"].dtype == "F32"


def test_the_encoding_is_part_of_what_names_a_work(work: TrainingWork):
    others = [replace(work, encoding="int8"), replace(work, encoding_options={"fraction": 0.2})]
    assert len({work.key, *(other.key for other in others)}) == 3
