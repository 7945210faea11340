"""What `make test ARGS=...` runs."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import run

EVERYTHING = ["tests but the end-to-end tests", "the database's on PostgreSQL", "the end-to-end tests"]
BESIDE = EVERYTHING[:2]


@pytest.fixture
def ran(monkeypatch):
    """The arguments of each run of pytest that was asked for."""
    calls = []

    def pytest(*arguments, beside=None):
        calls.append(arguments)
        (name,) = parts([arguments])
        if name in EVERYTHING:
            assert (beside is not None) == (name in BESIDE)
        print(name, file=beside and beside.out, flush=True)
        report(arguments, failing.get(name, ()))
        return statuses.get(name, 1 if name in failing else 0)

    monkeypatch.chdir(run.ROOT)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(run, "get_programs", lambda: None)
    monkeypatch.setattr(run, "pytest", pytest)
    monkeypatch.setattr(
        run, "on_postgresql", lambda *arguments, beside=None: run.pytest("PostgreSQL", *arguments, beside=beside)
    )
    yield calls
    statuses.clear()
    failing.clear()


statuses: dict[str, int] = {}  # of a part; 0 if it is not named
failing: dict[str, list[str]] = {}  # tests of a part


def report(arguments, names):
    """As pytest does where it is asked to."""
    for file in [argument.partition("=")[2] for argument in arguments if argument.startswith("--junit-xml=")]:
        cases = "".join(f'<testcase classname="tests.fl.test_it" name="{name}"><failure/></testcase>' for name in names)
        Path(file).write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")


def parts(ran):
    """The runs of the whole suite, in words, without the options that each of them got."""
    said = []
    for arguments in ran:
        if arguments[:2] == ("tests", "--ignore=tests/e2e"):
            said.append(EVERYTHING[0])
        elif arguments[:3] == ("PostgreSQL", "tests/federation", "tests/dashboard"):
            said.append(EVERYTHING[1])
        elif arguments[0] == "tests/e2e":
            said.append(EVERYTHING[2])
        else:
            said.append(" ".join(arguments))
    return sorted(said, key=EVERYTHING.index) if set(said) <= set(EVERYTHING) else said


def test_without_arguments_everything_runs(ran, capsys):
    assert run.main([]) == 0
    assert parts(ran) == EVERYTHING
    said = capsys.readouterr().out.splitlines()
    assert said == [EVERYTHING[2], "", "Beside them:", *BESIDE], "not in between each other"


@pytest.mark.parametrize(
    "options", [["-x"], ["-k", "quota"], ["-k", "tests"], ["-x", "-m", "browser"], ["--durations=5"]]
)
def test_options_alone_go_to_every_part(ran, options):
    assert run.main(options) == 0
    assert parts(ran) == EVERYTHING
    assert [list(arguments[-len(options) :]) for arguments in ran] == [options] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["tests/test_run.py"],
        ["tests/fl"],
        ["tests/test_run.py::test_without_arguments_everything_runs"],
        ["-x", "tests/fl", "-k", "median"],
        ["tests/e2e/test_stop.py", "tests/fl"],
        ["tests/not_there.py"],  # pytest says that it is not there
    ],
)
def test_tests_that_are_named_run_alone_and_once(ran, arguments):
    assert run.main(arguments) == 0
    assert ran == [tuple(arguments)]


def test_they_run_on_postgresql_too_where_one_asks_for_it(ran):
    assert run.main(["--postgresql", "tests/federation", "-x"]) == 0
    assert ran == [("tests/federation", "-x"), ("PostgreSQL", "tests/federation", "-x")]


def test_and_not_where_they_failed_before(ran):
    statuses["tests/federation"] = 1
    assert run.main(["tests/federation", "--postgresql"]) == 1
    assert ran == [("tests/federation",)]


@pytest.mark.parametrize(
    ("part", "others"), [(EVERYTHING[0], EVERYTHING[::2]), (EVERYTHING[1], EVERYTHING), (EVERYTHING[2], EVERYTHING)]
)
def test_it_fails_where_one_part_does(ran, part, others):
    failing[part] = ["test_1", "test_2", "test_3", "test_4"]
    assert run.main([]) == 1
    assert parts(ran) == others


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("part", EVERYTHING)
def test_what_fails_where_few_do_runs_once_more_when_all_others_have_run(ran, part, status, capsys):
    failing[part] = ["test_1", "test_2"]
    names = ("tests/fl/test_it.py::test_1", "tests/fl/test_it.py::test_2")
    expected = ("PostgreSQL", *names) if part == EVERYTHING[1] else names
    statuses[" ".join(expected)] = status
    assert run.main([]) == status
    assert parts(ran[:-1]) == EVERYTHING and ran[-1] == expected
    assert f"UNSTEADY, once more alone: {' '.join(names)}" in capsys.readouterr().out


@pytest.mark.parametrize(("of_the_parts", "status"), [([5, 0, 5], 0), ([5, 5, 5], 5), ([0, 5, 5], 0), ([5, 2, 5], 2)])
def test_a_part_in_which_nothing_is_as_the_options_ask_is_no_failure(ran, of_the_parts, status):
    statuses.update(zip(EVERYTHING, of_the_parts, strict=True))
    assert run.main(["-k", "quota"]) == status
    assert parts(ran) == EVERYTHING


def test_what_runs_beside_others_steps_back_and_ends_with_them():
    script = "import os, sys, time; print(os.nice(0), os.getsid(0) == os.getpid(), flush=True); time.sleep(600)"
    with ThreadPoolExecutor(1) as thread, run.aside() as beside:
        status = thread.submit(
            beside.run, [sys.executable, "-c", f"import time; time.sleep(0.5)\n{script}"], os.environ
        )
        said = Path(beside.out.name)
        while not (text := said.read_text()):
            time.sleep(0.01)
    assert text.split() == [str(max(os.nice(0), run.STEPS_BACK)), "True"]
    assert status.result() != 0


def test_help_says_how_to_run_one_test_and_runs_none(ran, capsys):
    assert run.main(["--help"]) == 0
    assert "make test ARGS=tests/fl" in capsys.readouterr().out
    assert ran == []


def test_it_finds_programs_without_running_a_test(ran, monkeypatch):
    found = []
    monkeypatch.setattr(run, "get_programs", lambda: found.append("all"))
    assert run.main(["--programs"]) == 0
    assert found == ["all"] and ran == []
