"""`make test`: finds or installs a browser, then runs every test. Further arguments go to pytest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    os.chdir(ROOT)
    find_browser()
    quick = pytest("tests", "--ignore=tests/e2e", "-n", "2", *sys.argv[1:])
    return quick or pytest("tests/e2e", *sys.argv[1:])


def pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], check=False).returncode


def find_browser() -> None:
    """A Chrome or Chromium that is there, else one from the system's packages where this user may install it."""
    if any(map(shutil.which, BROWSERS)):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False, stdout=subprocess.DEVNULL)
    if not any(map(shutil.which, BROWSERS)):
        print("NO BROWSER: install Chromium or Chrome to run the browser tests; they are skipped.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
