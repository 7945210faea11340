"""What `make test ARGS=...` runs."""

import pytest

from tests import run

EVERYTHING = ["tests but the end-to-end tests", "the database's on PostgreSQL", "the end-to-end tests"]


@pytest.fixture
def ran(monkeypatch):
    """The arguments of each run of pytest that was asked for."""
    calls = []

    def pytest(*arguments):
        calls.append(arguments)
        return statuses.pop(0) if statuses else 0

    monkeypatch.chdir(run.ROOT)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(run, "get_programs", lambda: None)
    monkeypatch.setattr(run, "pytest", pytest)
    monkeypatch.setattr(run, "on_postgresql", lambda *arguments: pytest("PostgreSQL", *arguments))
    yield calls
    statuses.clear()


statuses: list[int] = []


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
    return said


def test_without_arguments_everything_runs(ran):
    assert run.main([]) == 0
    assert parts(ran) == EVERYTHING


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
    statuses.append(1)
    assert run.main(["tests/federation", "--postgresql"]) == 1
    assert ran == [("tests/federation",)]


def test_a_part_that_fails_is_the_last_one(ran):
    statuses.extend([0, 1])
    assert run.main([]) == 1
    assert parts(ran) == EVERYTHING[:2]


@pytest.mark.parametrize(("of_the_parts", "status"), [([5, 0, 5], 0), ([5, 5, 5], 5), ([0, 5, 5], 0), ([5, 2], 2)])
def test_a_part_in_which_nothing_is_as_the_options_ask_is_no_failure(ran, of_the_parts, status):
    statuses.extend(of_the_parts)
    assert run.main(["-k", "quota"]) == status
    assert len(ran) == len(of_the_parts)


def test_help_says_how_to_run_one_test_and_runs_none(ran, capsys):
    assert run.main(["--help"]) == 0
    assert "make test ARGS=tests/fl" in capsys.readouterr().out
    assert ran == []
