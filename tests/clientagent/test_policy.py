"""A site chooses what it serves: by a flag, at the terminal, or in policy.toml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent import approval, cli, flags, policy, site_workloads
from clientagent.errors import Misconfigured
from clientagent.policy import Allowance, Policy
from clientagent.settings import Settings
from federation.fl.workloads import WORKLOADS, foreign
from tests.clientagent.fake_server import FakeServer
from tests.clientagent.sites import Site
from tests.fl.workloads.own_files import write_numpy
from tests.properties import PROPERTY

A, B = "a1" * 32, "b2" * 32
BUILT_IN = frozenset({"digits", "synthetic"})
USUAL = Policy(built_in=BUILT_IN)
own = Allowance("hearts")


# ---- what is allowed


def test_built_in_ones_are_allowed_and_no_other():
    assert USUAL.allows("digits", A) and not USUAL.allows("hearts", A)


def test_another_one_that_is_allowed_takes_nothing_from_those_that_are_built_in():
    found = USUAL.with_more([own])
    assert found.allows("hearts", A) and found.allows("digits", A) and not found.allows("lungs", A)


def test_a_built_in_one_that_is_listed_leaves_only_what_is_listed():
    found = USUAL.with_more([Allowance("digits")])
    assert found.allows("digits", A) and not found.allows("synthetic", A)


def test_an_entry_with_a_digest_allows_that_source_alone():
    found = USUAL.with_more([Allowance("hearts", A)])
    assert found.allows("hearts", A) and not found.allows("hearts", B)
    assert f"--allow hearts@{B}" in found.refusal("hearts", B) and found.refusal("hearts", A) == ""
    assert "allow it with --allow lungs." in found.refusal("lungs", A)


# ---- its file


def test_a_state_folder_without_the_file_is_as_before(tmp_path: Path):
    assert policy.read(tmp_path, BUILT_IN) == USUAL
    assert policy.keep(tmp_path, USUAL, []) is USUAL and list(tmp_path.iterdir()) == []


@PROPERTY
@given(
    st.lists(
        st.builds(Allowance, st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True), st.sampled_from(["", A, B])),
        max_size=5,
    )
)
def test_what_is_kept_is_read_again(tmp_path_factory: pytest.TempPathFactory, listed: list[Allowance]):
    folder = tmp_path_factory.mktemp("state") / "new"
    kept = USUAL
    for one in listed:
        kept = policy.keep(folder, kept, [one, one])
    assert policy.read(folder, BUILT_IN) == kept == USUAL.with_more(listed)


def test_what_its_owner_wrote_into_it_stays(tmp_path: Path):
    path = tmp_path / policy.NAME
    path.write_text('# ours\n[[allow]]  # until May\nname = "digits"')
    kept = policy.keep(tmp_path, policy.read(tmp_path, BUILT_IN), [own, Allowance("digits")])
    assert path.read_text().startswith('# ours\n[[allow]]  # until May\nname = "digits"\n')
    assert policy.read(tmp_path, BUILT_IN) == kept and kept.listed == (Allowance("digits"), own)
    if os.name != "nt":
        assert path.stat().st_mode & 0o077 == 0


def test_a_mark_that_editors_of_windows_put_before_the_text_is_passed_over(tmp_path: Path):
    (tmp_path / policy.NAME).write_text('[[allow]]\nname = "digits"\n', encoding="utf-8-sig")
    kept = policy.keep(tmp_path, policy.read(tmp_path, BUILT_IN), [own])
    assert policy.read(tmp_path, BUILT_IN) == kept and kept.listed == (Allowance("digits"), own)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[allow]", "cannot be read"),
        ("deny = 1", "'deny' is not known"),
        ("allow = 5", r"Write \[\[allow\]\]"),
        ("allow = [5]", "entry 1 must have a name"),
        ('[[allow]]\nname = "A b"', "entry 1 must have a name"),
        ('[[allow]]\nname = "a"\n[[allow]]\nname = "b"\ndigest = "12"', "entry 2 must have a name"),
        ('[[allow]]\nname = "a"\nuntil = "May"', "entry 1 must have a name"),
        ("[[allow]]\nname = 1", "entry 1 must have a name"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_and_kept(tmp_path: Path, text: str, said: str):
    path = tmp_path / policy.NAME
    path.write_text(text)
    with pytest.raises(Misconfigured, match=said):
        policy.read(tmp_path, BUILT_IN)
    assert path.read_text() == text


def test_what_is_no_file_is_said(tmp_path: Path):
    (tmp_path / policy.NAME).mkdir()
    with pytest.raises(Misconfigured, match=r"policy\.toml cannot be read: Is a directory\.$"):
        policy.read(tmp_path, BUILT_IN)


def test_what_cannot_be_added_to_is_kept_as_it_is(tmp_path: Path):
    path = tmp_path / policy.NAME
    path.write_text('allow = [{name = "digits"}]\n')
    with pytest.raises(Misconfigured, match="nothing can be added"):
        policy.keep(tmp_path, policy.read(tmp_path, BUILT_IN), [own])
    assert path.read_text() == 'allow = [{name = "digits"}]\n'


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "state").write_text("")
    with pytest.raises(Misconfigured, match=r"policy\.toml cannot be written"):
        policy.keep(tmp_path / "state", USUAL, [own])


# ---- the flag


def test_the_flag_may_be_repeated_and_the_environment_has_commas():
    words = ["--allow", "hearts", "--allow", f"lungs@{A}"]
    assert flags.read(words, {}).allow == (own, Allowance("lungs", A))
    assert flags.read([], {"FL_CLIENT_ALLOW": f"hearts, lungs@{A}"}).allow == (own, Allowance("lungs", A))
    assert flags.read([], {}).allow == ()


@pytest.mark.parametrize("text", ["", "Hearts", "hearts@12", "hearts@", "a b", "hearts,", f"hearts@{A.upper()}"])
def test_what_is_no_name_is_refused(text: str):
    with pytest.raises(Misconfigured, match="64 hexadecimal digits"):
        flags.read(["--allow", text or ","], {})


# ---- asking


def asked(tmp_path: Path, answer: bool | None) -> tuple[Policy, list[str]]:
    said: list[str] = []
    heard = None if answer is None else lambda what: bool(said.append(what)) or answer
    found = approval.decide(tmp_path, replace(USUAL, built_in=frozenset()), [WORKLOADS["synthetic"]], heard)
    return found, said


def test_at_a_terminal_the_owner_is_asked_once_with_the_digest(tmp_path: Path):
    digest = WORKLOADS["synthetic"].digest()
    found, said = asked(tmp_path, True)
    assert len(said) == 1 and digest in said[0]
    assert found.allows("synthetic", digest) and not found.allows("synthetic", B)
    assert approval.decide(tmp_path, policy.read(tmp_path, ()), [WORKLOADS["synthetic"]], None) == found


@pytest.mark.parametrize("answer", [False, None])
def test_without_a_yes_it_is_refused_naming_the_flag(
    tmp_path: Path, answer: bool | None, capsys: pytest.CaptureFixture[str]
):
    found, _ = asked(tmp_path, answer)
    assert not found.listed and not (tmp_path / policy.NAME).exists()
    assert "allow it with --allow synthetic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("", False), ("n\n", False)]
)
def test_only_a_clear_yes_is_one(monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool):
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return typed

        def write(self, text: str) -> int:
            return len(text)

        def flush(self) -> None: ...

    monkeypatch.setattr(approval.sys, "stdin", Terminal())
    monkeypatch.setattr(approval.sys, "stderr", Terminal())
    ask = approval.at_terminal()
    assert ask is not None and ask("hearts") is agreed


def test_where_there_is_no_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(approval.sys, "stdin", None)
    assert approval.at_terminal() is None


# ---- an agent


@pytest.fixture
def no_other_workloads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process knows no workload of a file or a package, before and afterwards."""
    monkeypatch.setattr(foreign, "entry_points", lambda group: ())
    yield
    site_workloads.load(None)


def test_work_that_is_not_allowed_is_given_up_with_the_sentence_and_not_told(server: FakeServer, site: Site):
    seat = server.offer()
    with policy.enforced(Policy((Allowance("digits"),), frozenset(WORKLOADS.built_in))):
        site.run(workload="digits", samples=20)
    assert seat.status == "failed" and seat.reason.startswith("This site does not serve the workload 'synthetic'")
    told = server.infos[-1]
    assert set(told["workloads"]) == {"digits"}
    assert told["examples"]["synthetic"] == 0 and told["examples"]["digits"] == 20


def test_a_workload_that_is_not_served_is_not_counted(server: FakeServer, site: Site):
    server.offer()
    with policy.enforced(Policy((Allowance("synthetic"),), frozenset(WORKLOADS.built_in))):
        site.run(workload="digits")
    assert "num_examples" not in server.infos[-1] and server.infos[-1]["examples"]["digits"] == 0


def test_the_program_enforces_what_is_in_the_folder_and_keeps_what_is_allowed_now(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    no_other_workloads: None,
):
    own_folder, state = tmp_path / "own", tmp_path / "state"
    own_folder.mkdir()
    write_numpy(own_folder)
    served: list[tuple[bool, bool]] = []

    def run(settings: Settings) -> int:
        means = foreign.source_now(foreign.Place(str(own_folder / "means.py")))
        assert ("means" in WORKLOADS) == (not policy.refusal("means", means)), "its code runs once it is allowed"
        served.append((not policy.refusal("means", means), not policy.refusal("digits", A)))
        return 0

    monkeypatch.setattr("clientagent.agent.run", run)
    monkeypatch.setattr(cli, "fix_threads", lambda count: None)
    words = ["--workloads", str(own_folder), "--state", str(state)]
    assert [cli.main(words), cli.main([*words, "--allow", "means"]), cli.main(words)] == [0, 0, 0]
    assert served == [(False, True), (True, True), (True, True)]
    assert capsys.readouterr().err.count("Its owner can allow it with --allow means.") == 1
    assert policy.refusal("means", A) == ""
