"""Workloads of a site's own: written by `new`, tried by `check`, loaded from --workloads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clientagent import cli, commands, policy, site_workloads
from clientagent.commands import new
from clientagent.errors import Failed, Misconfigured
from clientagent.kinds import training
from clientagent.policy import Policy
from clientagent.work import workload_of
from federation.fl.workloads import WORKLOADS, declaration, foreign
from tests.clientagent.fake_server import FakeServer, status
from tests.clientagent.sites import Site
from tests.fl.workloads.own_files import write_numpy


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(foreign, "entry_points", lambda group: ())
    monkeypatch.setattr(cli, "fix_threads", lambda count: None)
    yield
    site_workloads.load(None)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit status, output and errors of run.py."""
    status = cli.main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_what_new_writes_is_short_and_passes_check_as_it_stands(tmp_path, capsys):
    pytest.importorskip("torch")
    status, said, _ = run(capsys, "new", "heart-rate", "--workloads", tmp_path)
    path = tmp_path / "heart_rate.py"
    assert status == 0 and f"run.py check {path}" in said
    lines = path.read_text().splitlines()
    assert len(lines) < 60 and sum("#" in line or '"""' in line for line in lines) > 10
    status, said, wrong = run(capsys, "check", path)
    assert (status, wrong) == (0, "")
    assert "training: 2 steps on " in said and "evaluation: " in said and said.endswith("Everything works.\n")
    assert run(capsys, "check", "heart-rate", "--workloads", tmp_path, "--options", '{"width": 3}')[0] == 0


def test_new_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("keep")
    status, _, said = run(capsys, "new", "mine", "--workloads", tmp_path)
    assert status == 2 and "mine.py is there already. Use another name or folder." in said
    assert (tmp_path / "mine.py").read_text() == "keep"


@pytest.mark.parametrize("name", ["", "My model", "1st", "a_b", "../x", "a" * 65])
def test_a_name_that_no_server_takes_is_refused(tmp_path, name):
    with pytest.raises(Misconfigured, match=f"use {re.escape(declaration.NAME_ALLOWED)}"):
        new.write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_built_in_workload_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match="the name of a built-in workload"):
        new.write("digits", tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be written: "):
        new.write("mine", tmp_path / "file")


# ---- check: each refusal names the line, the option or the tensor


def changed(tmp_path: Path, before: str, after: str) -> Path:
    """A workload of NumPy with a change: as `tests.fl.workloads.own_files` writes it, with more in its class."""
    path = write_numpy(tmp_path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return path


def with_method(tmp_path: Path, method: str) -> Path:
    body = "".join(f"    {line}\n" for line in method.splitlines())
    return changed(tmp_path, "    version", f"{body}\n    version")


UPDATE = "def local_update(self, base, data, options, config, report):\n    made = super().local_update({})\n    "
REFUSALS = [
    (
        "def initial_weights(self, options, seed):\n    return {}[1]",
        r"initial_weights: means.py, line \d+: KeyError: 1",
    ),
    ("def initial_weights(self, options, seed):\n    return {}", "initial_weights: the model has no tensor"),
    (
        "def initial_weights(self, options, seed):\n    return {'w': np.random.default_rng().random(3)}",
        "initial_weights gives another value from the same seed each time: see the tensor w",
    ),
    (
        "def initial_weights(self, options, seed):\n    return {'w': np.zeros(3, np.complex64)}",
        "write_initial writes another value than initial_weights gives: the tensor w is not always there",
    ),
    (
        "def write_initial(self, *given):\n    super().write_initial(*given)",
        "write_initial returns another digest than",
    ),
    ("def buffers(self, options):\n    return ('gone',)", "buffers names gone, which is no tensor of the model"),
    ("def training_data(self, options, folder):\n    return 3", "data must be a Data, not int"),
    (
        "def training_data(self, options, folder):\n"
        "    from federation.fl.workloads import Data\n    return Data(np.zeros((3, 2)), np.zeros(2), ())",
        "data: there are 3 features and 2 labels",
    ),
    (
        "def training_data(self, options, folder):\n"
        "    from federation.fl.workloads import Data\n    return Data(np.array(['a']), np.zeros(1), ())",
        "data: features must be a NumPy array of numbers, not <U1",
    ),
    (
        "def training_data(self, options, folder):\n"
        "    from federation.fl.workloads import Data\n    return Data(np.full((2, 2), np.nan), np.zeros(2), ())",
        "data: features hold a value that is not finite",
    ),
    (UPDATE.format("base, data, options, config, report") + "return None", "must return a LocalUpdate, not NoneType"),
    (UPDATE.format("base, data, options, config, lambda *_: True") + "return made", "never calls report"),
    (
        UPDATE.format("base, data, options, config, report")
        + "made.delta['more'] = made.delta['weight']\n    return made",
        "local_update: The model has no tensor more",
    ),
    (
        UPDATE.format("base, data, options, config, report") + "made.delta['weight'][0] = np.nan\n    return made",
        "local_update: weight holds a value that is not finite",
    ),
    (
        UPDATE.format("base, data, options, config, report") + "made.metrics['auc'] = 'high'\n    return made",
        "local_update: auc must be a number, not str",
    ),
    (
        "def local_evaluation(self, *given):\n    raise OSError('no scanner')",
        r"evaluation: means.py, line \d+: OSError: no",
    ),
    ("def local_evaluation(self, *given):\n    return {}", "local_evaluation must return a LocalEvaluation, not dict"),
    ("def evaluate(self, *given):\n    return {'auc': None}", "evaluate: auc must be a number, not NoneType"),
    ("def evaluate(self, *given):\n    return {}['auc']", r"test: means.py, line \d+: KeyError: 'auc'"),
    ("def initial_weights(self, *given):\n    return None", "initial_weights must be a dict of NumPy arrays by name"),
    (
        "def initial_weights(self, *given):\n    return {'w': [1.0]}",
        "initial_weights: w must be a NumPy array with a name, not list",
    ),
    ("def buffers(self, options):\n    return None", "buffers must return a tuple of names, not None"),
    ("def buffers(self, options):\n    return [1]", r"buffers must return a tuple of names, not \[1\]"),
    (
        "def training_data(self, options, folder):\n"
        "    from federation.fl.workloads import Data\n    return Data(np.array(1.0), np.zeros(1), ())",
        "data: features must have a row for each example, and are one number",
    ),
    (
        UPDATE.format("base, data, options, config, report")
        + "from dataclasses import replace\n    return replace(made, delta=None)",
        "local_update: delta must be a dict of NumPy arrays by name, not NoneType",
    ),
    (
        UPDATE.format("base, data, options, config, report")
        + "from dataclasses import replace\n    return replace(made, metrics=None)",
        "local_update: metrics must be a dict of numbers by name, not NoneType",
    ),
    (
        UPDATE.format("base, data, options, config, report")
        + "from dataclasses import replace\n    return replace(made, num_examples='all')",
        "local_update: .*num_examples",
    ),
    (
        UPDATE.format("base, data, options, config, report") + "made.metrics['auc'] = 10**400\n    return made",
        "local_update: auc is larger than any number of a curve",
    ),
    (
        "def local_evaluation(self, *given):\n"
        "    from federation.fl.workloads import LocalEvaluation\n    return LocalEvaluation(1, None, {})",
        "local_evaluation: metrics must be a dict of numbers by name",
    ),
    (
        "def evaluate(self, *given):\n    return ['auc']",
        "evaluate: metrics must be a dict of numbers by name, not list",
    ),
]


@pytest.mark.parametrize(("method", "sentence"), REFUSALS)
def test_check_says_what_does_not_work(tmp_path, capsys, method, sentence):
    path = with_method(tmp_path, method)
    status, said, wrong = run(capsys, "check", path, "--options", '{"num_parameters": 5}')
    assert status == 2 and "Everything works" not in said
    assert re.search(sentence, wrong), wrong
    assert wrong.startswith("run.py: ") and "Traceback" not in wrong


def test_check_notes_an_update_that_is_another_one_each_time(tmp_path, capsys):
    noise = "made.delta['weight'] += np.random.default_rng().random(5, np.float32)\n    return made"
    path = with_method(tmp_path, UPDATE.format("base, data, options, config, report") + noise)
    status, said, _ = run(capsys, "check", path, "--options", '{"num_parameters": 5}')
    note = "note: training gives another update from the same seed each time: see the tensor weight. Draw random"
    assert status == 0 and note in said
    assert "training again: the same update" in run(capsys, "check", write_numpy(tmp_path, "other", "other.py"))[1]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--options", "{"), "--options is not JSON"),
        (("--options", "[1]"), "--options must be a JSON object"),
        (("--options", '{"width": 1}'), "workload means has no option 'width': it has num_parameters."),
        (("--options", '{"num_parameters": 0}'), "num_parameters of workload means must be a whole number from 1"),
        (("--data", "/no/such/folder"), "--data '/no/such/folder': use an existing folder."),
        (("--workloads", "/no/such/folder"), "--workloads '/no/such/folder': use an existing folder."),
        (("--workloads", __file__), f"--workloads '{__file__}': use an existing folder."),
    ],
)
def test_check_says_what_is_wrong_with_a_flag(tmp_path, capsys, more, sentence):
    status, _, wrong = run(capsys, "check", write_numpy(tmp_path), *more)
    assert status == 2 and sentence in wrong


def test_check_finds_a_workload_by_its_name_and_says_what_is_there(tmp_path, capsys):
    write_numpy(tmp_path, "means", "another.py")
    where = ("--workloads", tmp_path, "--options", '{"num_parameters": 5}')
    assert run(capsys, "check", "means", *where)[0] == 0
    status, _, wrong = run(capsys, "check", "gone", *where)
    assert status == 2 and "'gone': there is no such file, and no such workload in" in wrong and "another.py" in wrong


def test_check_refuses_a_built_in_name_and_a_broken_file(tmp_path, capsys):
    assert "is the name of a built-in workload" in run(capsys, "check", write_numpy(tmp_path, "digits"))[2]
    (tmp_path / "broken.py").write_text("x = 1\nx.y\n")
    assert "broken.py, line 2: AttributeError" in run(capsys, "check", tmp_path / "broken.py")[2]


def test_an_interrupted_check_has_not_passed(tmp_path, capsys):
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt\n")
    status, said, wrong = run(capsys, "check", tmp_path / "slow.py")
    assert (status, said, wrong) == (130, "", "run.py: check was interrupted.\n")


def test_a_command_is_found_by_its_file():
    assert {"new", "check"} <= commands.NAMES


# ---- the agent's own


def test_a_site_knows_the_files_of_its_folder_and_says_which_it_left_out(tmp_path):
    write_numpy(tmp_path)
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    said: list[str] = []
    site_workloads.load(tmp_path, said.append)
    assert said == ["broken.py, line 1: ModuleNotFoundError: No module named 'no_such_module'."]
    assert WORKLOADS["means"].name == "means"
    (told,) = site_workloads.catalogue(lambda workload: ["train"], {"means": 12})
    assert (told["name"], told["num_examples"], told["kinds"]) == ("means", 12, ["train"])
    assert declaration.from_json(told).digest == WORKLOADS["means"].digest()


def test_a_folder_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(Misconfigured, match="cannot be read: "):
        site_workloads.load(tmp_path / "gone")


def test_another_source_of_a_foreign_workload_is_said_with_its_remedy(tmp_path, server: FakeServer):
    write_numpy(tmp_path)
    site_workloads.load(tmp_path)
    body = server.offer().work | {"workload": {"name": "means", "digest": "0" * 64, "options": {}}}
    with pytest.raises(Failed, match=r"on the server\. Both need the same file or package; start the agent again"):
        workload_of(training.parse(body))
    site_workloads._loaded.clear()
    with pytest.raises(Failed, match="Update the agent, or put its file into the folder --workloads"):
        workload_of(training.parse(body))


@pytest.fixture
def means(tmp_path) -> None:
    """This site has one workload of its own."""
    folder = tmp_path / "workloads"
    folder.mkdir()
    write_numpy(folder, version="1.4")
    site_workloads.load(folder)


def test_a_server_of_0_2_0_hears_of_a_sites_own_workloads_at_each_start(site: Site, server: FakeServer, means):
    server.marks_all, server.version = True, "0.2.0"
    for _ in range(2):
        server.offer()
        site.run(workload="means")
        *_, info = server.infos
        (told,) = info["catalogue"]
        assert (told["name"], told["version"], told["num_examples"]) == ("means", "1.4", None)
        assert told["kinds"] == ["initialise", "train"] and told["digest"] == info["workloads"]["means"]
    assert [len(info.get("catalogue", [])) for info in server.infos] == [0, 1, 1], "at a return at once"


def test_a_server_that_was_replaced_by_an_older_one_hears_of_them_no_more(site: Site, server: FakeServer, means):
    server.marks_all, server.version = True, "0.2.0"
    for version in ("0.2.0", "0.1.0", "0.1.0"):
        server.version, server.marks_all = version, version == "0.2.0"
        server.offer()
        site.run()
    assert [len(info.get("catalogue", [])) for info in server.infos] == [0, 1, 1, 0, 0]


def test_a_catalogue_that_the_server_refuses_is_said_and_the_rest_is_told(site: Site, server: FakeServer, means):
    server.marks_all, server.version = True, "0.2.0"
    server.offer()
    site.run()
    server.script("POST", "/clients/me/info", status(422, "Workload 'means': title must be shorter."))
    server.offer()
    assert "does not accept what this site says of itself: Workload 'means': title must be shorter." in site.run()
    assert "catalogue" not in server.infos[-1] and server.infos[-1]["workloads"]["means"]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("def local_update(self, *given):\n    return {}['scan']", r"KeyError: 'scan' \(means\.py, line \d+\)"),
        (
            UPDATE.format("base, data, options, config, report") + "made.metrics['auc'] = 'high'\n    return made",
            r"The metrics of the update: 'auc' must be a number, not 'high'\.",
        ),
    ],
)
def test_a_fault_of_the_code_is_reported_with_file_and_line_or_name(
    tmp_path, site: Site, server: FakeServer, method: str, reason: str
):
    folder = tmp_path / "workloads"
    folder.mkdir()
    with_method(folder, method)
    site_workloads.load(folder)
    seat = server.offer("means", {"num_parameters": 5})
    site.run()
    assert seat.status == "failed" and re.fullmatch(reason, seat.reason), seat.reason


# ---- files that change while the agent runs


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "workloads"
    made.mkdir()
    return made


def test_a_file_that_is_added_changed_or_removed_is_noticed(folder):
    said: list[str] = []
    site_workloads.load(folder, said.append)
    assert not site_workloads.look(said.append) and "means" not in WORKLOADS
    path = write_numpy(folder)
    assert site_workloads.look(said.append) and WORKLOADS["means"].version == "1"
    first = WORKLOADS["means"]
    write_numpy(folder, "others", "others.py")
    assert site_workloads.look(said.append) and WORKLOADS["means"] is first, "what did not change is not loaded again"
    write_numpy(folder, version="2.0")
    assert site_workloads.look(said.append) and WORKLOADS["means"].version == "2.0"
    path.unlink()
    assert site_workloads.look(said.append) and "means" not in WORKLOADS and "others" in WORKLOADS
    assert not site_workloads.look(said.append) and said == []


def test_a_file_that_breaks_is_said_with_its_line_and_the_others_stay(folder):
    said: list[str] = []
    write_numpy(folder)
    site_workloads.load(folder, said.append)
    (folder / "broken.py").write_text("x = 1\nx.y\n")
    assert not site_workloads.look(said.append) and "means" in WORKLOADS
    assert len(said) == 1 and said[0].startswith("broken.py, line 2: AttributeError")


def test_a_folder_that_is_away_for_a_moment_ends_nothing(folder):
    said: list[str] = []
    write_numpy(folder)
    site_workloads.load(folder, said.append)
    folder.rename(folder.with_name("away"))
    assert [site_workloads.look(said.append) for _ in range(2)] == [False, False]
    assert len(said) == 1 and "cannot be read: No such file or directory. What was loaded stays." in said[0]
    folder.with_name("away").rename(folder)
    assert not site_workloads.look(said.append) and "means" in WORKLOADS


def test_a_running_agent_tells_the_server_of_a_new_file(site: Site, server: FakeServer, folder, until):
    server.marks_all, server.version = True, "0.2.0"
    site_workloads.load(folder)
    with site.running():
        until(lambda: server.requests("GET", "/work"))
        write_numpy(folder, version="1.4")
        server.offer()
        until(lambda: any("catalogue" in info for info in server.infos))
    (told,) = server.infos[-1]["catalogue"]
    assert (told["name"], told["version"]) == ("means", "1.4")
    assert "changed and were read again." in site.said


# ---- what is not allowed does not run


def mined(folder: Path, name: str = "means", file: str = "means.py") -> Path:
    """A workload whose code leaves a mark when it runs."""
    path = write_numpy(folder, name, file)
    path.write_text(path.read_text() + f"\nopen({str(folder / 'ran')!r}, 'w').close()\n")
    return path


def digest_of(path: Path) -> str:
    return foreign.source_now(foreign.Place(str(path)))


def served(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> list[str]:
    """The workloads of its own that the program serves with these flags."""
    found: list[str] = []

    def run(settings: object) -> int:
        found.extend(one.name for one in site_workloads.loaded() if not policy.refusal(one.name, one.digest()))
        return 0

    monkeypatch.setattr("clientagent.agent.run", run)
    state = str(folder.parent / "state")
    assert cli.main(["--workloads", str(folder), "--state", state, *words]) == 0
    return found


def test_no_code_runs_that_nobody_allowed(folder, monkeypatch, capsys):
    path = mined(folder, "heart-rate", "ward.py")
    assert served(monkeypatch, folder) == [] and not (folder / "ran").exists()
    said = capsys.readouterr().err
    assert "left out: ward.py: This site does not serve the workload 'heart-rate'." in said
    assert served(monkeypatch, folder, "--allow", f"heart-rate@{'0' * 64}") == [] and not (folder / "ran").exists()
    assert f"--allow heart-rate@{digest_of(path)}" in capsys.readouterr().err
    assert served(monkeypatch, folder, "--allow", "heart-rate") == ["heart-rate"] and (folder / "ran").exists()


def test_a_digest_lets_a_file_run_whatever_it_claims_and_the_name_decides_what_is_served(folder, monkeypatch, capsys):
    path = mined(folder)
    path.write_text(path.read_text().replace('name = "means"', 'name = "".join(["me", "ans"])'))
    assert served(monkeypatch, folder, "--allow", f"other@{digest_of(path)}") == []
    assert (folder / "ran").exists() and "does not serve the workload 'means'" in capsys.readouterr().err
    assert served(monkeypatch, folder, "--allow", "means") == ["means"]


def test_a_file_with_the_name_of_a_built_in_workload_does_not_run(folder, monkeypatch, capsys):
    mined(folder, "digits")
    assert served(monkeypatch, folder, "--allow", "digits") == [] and not (folder / "ran").exists()
    assert "means.py: 'digits' is the name of a built-in workload." in capsys.readouterr().err


def test_a_new_file_that_is_not_allowed_does_not_run_either(folder):
    said: list[str] = []
    mine = Policy(built_in=frozenset(WORKLOADS.built_in))
    with policy.enforced(mine):
        site_workloads.load(folder, said.append, mine.lets_run)
        mined(folder)
        assert not site_workloads.look(said.append) and not (folder / "ran").exists()
    assert said == [f"means.py is left out: {mine.refusal('means', '')}"]


def test_a_file_that_changes_after_it_was_allowed_does_not_run(folder):
    path = mined(folder)
    before = digest_of(path)
    path.write_text(path.read_text() + "# more\n")
    with pytest.raises(foreign.Unusable, match="changed at this moment"):
        foreign.load(foreign.Place(str(path)), only=before)
    assert not (folder / "ran").exists()


def test_an_older_server_does_not_hear_of_them(site: Site, server: FakeServer, means):
    server.marks_all, server.version = True, "0.1.0"
    for _ in range(2):
        server.offer()
        site.run()
    assert len(server.infos) == 2 and not any("catalogue" in info for info in server.infos)
