"""Measures rounds of good agents, pages, memory and disk during attacks on loopback. Prints whether the limits hold.

    .venv/bin/python benchmarks/abuse.py [--seconds 180] [--only half_headers --only sign_ins] [--port 8100]

Each attack gets a new server with 1,024 file descriptors and a data folder on a disk of 400 MB (tmpfs in a mount
namespace of this process), four agents with one round after another, a visitor who opens two pages, and an attacker
with half a core at 127.0.0.66. For comparison, the same attacker first calls a server that accepts every connection
and answers nothing. An attack takes twice --seconds. The status is 1 if a limit does not hold. Needs root or user
namespaces.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import attacks, machine, usage  # noqa: E402
from benchmarks.throttle import how_throttled, throttled  # noqa: E402
from federation.storage.room import SPARE_BYTES  # noqa: E402
from flsite import processes  # noqa: E402
from tests.e2e.plain import PlainClient  # noqa: E402
from tests.e2e.stack import PASSWORD, Stack, daphne, until  # noqa: E402

AGENTS, PARAMS = 4, 10_000
BAD_PARAMS = 500_000  # in the session where the attacker holds seats: an update has 2 MB
DISK_MB, DESCRIPTORS, CORES = 400, 1024, 0.5
MOST_TIMES_AS_LONG, MOST_PAGE_SECONDS, MOST_MB = 2.0, 2.0, 400
PAGE_TIMEOUT = 30.0
IN_NAMESPACE = "FL_ABUSE_NAMESPACE"
LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)


@dataclass
class Window:
    """Measurements during an attack. rounds: when each ended; pages: seconds of each load."""

    seconds: float = 0.0
    rounds: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    not_loaded: int = 0
    peak_mb: float = 0.0
    free_mb: float = math.inf

    @property
    def round_seconds(self) -> float:
        """The mean; infinite if no round ended."""
        return self.seconds / len(self.rounds) if self.rounds else math.inf

    @property
    def page_p95(self) -> float:
        return statistics.quantiles(self.pages, n=20)[-1] if len(self.pages) > 1 else PAGE_TIMEOUT

    def as_json(self) -> dict[str, float]:
        return {
            "seconds": self.seconds,
            "rounds": len(self.rounds),
            "pages": len(self.pages),
            "page_p95": self.page_p95,
            "not_loaded": self.not_loaded,
            "peak_mb": self.peak_mb,
            "free_mb": self.free_mb,
        }


@dataclass
class Result:
    attack: str
    quiet: Window
    attacked: Window

    @property
    def times_as_long(self) -> float:
        return self.attacked.round_seconds / self.quiet.round_seconds

    def as_json(self) -> dict[str, Any]:
        windows = {"quiet": self.quiet, "attacked": self.attacked}
        return {"attack": self.attack, "misses": self.misses()} | {n: w.as_json() for n, w in windows.items()}

    def misses(self) -> list[str]:
        """The limits that do not hold."""
        holds = {
            "rounds": self.times_as_long <= MOST_TIMES_AS_LONG,
            "pages": self.attacked.page_p95 <= MOST_PAGE_SECONDS and not self.attacked.not_loaded,
            "memory": self.attacked.peak_mb <= MOST_MB,
            "disk": self.attacked.free_mb >= SPARE_BYTES / 1e6,
        }
        return [name for name, held in holds.items() if not held]


class Site:
    """A server with its agents, a visitor, and the attacker's credentials."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        env = {"TMPDIR": str(folder)}  # the server's temporary files go to the small disk, too
        self.stack = Stack(folder, env=env, web=lambda _: ["-c", LIMITED, str(DESCRIPTORS), *daphne(port)])
        self.stack.port, self.stack.url = port, f"http://127.0.0.1:{port}"
        self.browser = requests.Session()

    def start(self, attack: str) -> None:
        self.stack.start()
        for n in range(1, AGENTS + 1):
            self.stack.agent(f"good-{n}", "--workload", "synthetic")
        self.stack.online(AGENTS)
        for client in self.stack.get("/clients", limit=1000)["items"]:
            self._tag(client["id"], "good")
        self._sign_in()
        self.session = self._session("good", PARAMS, AGENTS, rounds=100_000)
        bad = {"half_uploads": attacks.HALF_UPLOADS, "many_points": 1}.get(attack, 0)
        self.credentials = {"port": self.stack.port, "session": self.session, "cookie": self._cookie()}
        self.credentials |= {"seats": self._seats(bad), "update_bytes": 4 * BAD_PARAMS}

    def _tag(self, client: str, tag: str) -> None:
        address = f"{self.stack.url}/api/v1/clients/{client}"
        assert self.stack.http.patch(address, json={"tags": [tag]}, timeout=30).ok

    def _session(self, tag: str, params: int, cohort: int, **more: Any) -> str:
        workload = {"name": "synthetic", "options": {"num_parameters": params}}
        return self.stack.session(name=tag, workload=workload, quorum=cohort, cohort_size=cohort, client_tags=[tag],
                                  round_seconds=3600, **more)  # fmt: skip

    def _sign_in(self) -> None:
        url = f"{self.stack.url}/sign-in/"
        self.browser.get(url, timeout=PAGE_TIMEOUT)
        form = {"username": "alice", "password": PASSWORD, "csrfmiddlewaretoken": self.browser.cookies["fl_csrf"]}
        answer = self.browser.post(url, data=form, headers={"Referer": url}, timeout=PAGE_TIMEOUT)
        assert answer.ok and "fl_session" in self.browser.cookies, answer.status_code

    def _cookie(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.browser.cookies)

    def _seats(self, count: int) -> list[tuple[str, str]]:
        """Seats of `count` clients of the attacker in a session of their own, with their tokens."""
        if not count:
            return []
        answer = self.stack.post("/invitations", {"uses": count})
        self.stack.join_code = answer.json()["join_code"]
        clients = {f"bad-{n:03}": PlainClient(self.stack, f"bad-{n:03}", 10, n) for n in range(count)}
        for client in self.stack.get("/clients", limit=1000)["items"]:
            if client["name"] in clients:
                self._tag(client["id"], "bad")
        for client in clients.values():
            client.work(wait=0)  # again: the first ones may be offline by now
        self._session("bad", BAD_PARAMS, count)
        found = []
        for client in clients.values():
            work = until(lambda client=client: client.work(wait=1), why="a seat")
            found.append((work["participation"], client.http.headers["Authorization"].removeprefix("Bearer ")))
        return found

    def window(self, attack: str, port: int, seconds: float) -> Window:
        """Start the attacker on a port and measure."""
        seen, over = Window(), threading.Event()
        began = datetime.now(UTC)
        lookers = [threading.Thread(target=look, args=(seen, over)) for look in (self._open_pages, self._watch_disk)]
        with self._attacking(attack, port), usage.watching([self.stack.running["web"].pid], every=0.5) as peak:
            for looker in lookers:
                looker.start()
            time.sleep(seconds)
            over.set()
            seen.seconds = (datetime.now(UTC) - began).total_seconds()
        for looker in lookers:
            looker.join()
        seen.peak_mb, seen.rounds = peak.mb, self._rounds(began, seen.seconds)
        return seen

    @contextlib.contextmanager
    def _attacking(self, attack: str, port: int) -> Iterator[None]:
        held = self.folder / "credentials.json"
        held.write_text(json.dumps(self.credentials))
        command = [sys.executable, "-m", "benchmarks.attacks", attack, str(port), str(held)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with throttled(process.pid, cores=CORES):
            try:
                yield
                if process.poll() is not None and process.stderr:
                    raise SystemExit(f"The attacker ended: {process.stderr.read().decode()[-2000:]}")
            finally:
                process.kill()
                process.wait()

    def _open_pages(self, seen: Window, over: threading.Event) -> None:
        """Load each page on a new connection, as a newly opened browser does."""
        cookies = self.browser.cookies.get_dict()
        while not over.is_set():
            for path, sent in (("/sign-in/", {}), (f"/sessions/{self.session}/", cookies)):
                began = time.monotonic()
                try:
                    answer = requests.get(
                        self.stack.url + path, cookies=sent, timeout=PAGE_TIMEOUT, allow_redirects=False
                    )
                    seen.not_loaded += answer.status_code != 200
                except requests.RequestException:
                    seen.not_loaded += 1
                seen.pages.append(time.monotonic() - began)
                over.wait(0.3)

    def _watch_disk(self, seen: Window, over: threading.Event) -> None:
        while not over.wait(0.2):
            seen.free_mb = min(seen.free_mb, shutil.disk_usage(self.folder).free / 1e6)

    def _rounds(self, began: datetime, seconds: float) -> list[float]:
        """When rounds ended in this time. Asks until the server answers."""
        rows: list[dict[str, Any]] = []
        after: str | None = "0"
        while after is not None:
            at = {"limit": 1000, "after": after}
            page = until(lambda at=at: self.stack.get(f"/sessions/{self.session}/rounds", **at), seconds=120)
            rows, after = rows + page["items"], page["next"]
        ended = [datetime.fromisoformat(row["closed_at"]) for row in rows if row["status"] == "completed"]
        return [at for at in ((time_ - began).total_seconds() for time_ in ended) if 0 <= at <= seconds]


def measure(attack: str, folder: Path, port: int, seconds: float) -> Result:
    site = Site(folder, port)
    command = [sys.executable, "-m", "benchmarks.attacks", "nobody", str(port + 1)]
    nobody = processes.start(command, log=folder / "nobody.log", cwd=ROOT)
    try:
        site.start(attack)
        time.sleep(min(3.0, seconds))  # the first rounds wait for all agents
        quiet = site.window(attack, port + 1, seconds)
        return Result(attack, quiet, site.window(attack, port, seconds))
    finally:
        site.stack.stop()
        processes.stop([nobody], processes.signal.SIGKILL, patience=5)


COLUMNS = {"attack": -16, "round, s": 9, "attacked": 9, "times": 6, "page p95": 9, "failed": 7, "MB": 5, "MB free": 8}
HEAD = " ".join(name.ljust(-width) if width < 0 else name.rjust(width) for name, width in COLUMNS.items())


def row(result: Result) -> str:
    quiet, attacked, misses = result.quiet, result.attacked, result.misses()
    verdict = f"MISSED: {', '.join(misses)}" if misses else "holds"
    return (
        f"{result.attack:<16} {quiet.round_seconds:>9.2f} {attacked.round_seconds:>9.2f} {result.times_as_long:>6.1f} "
        f"{attacked.page_p95:>7.2f} s {attacked.not_loaded:>3}/{len(attacked.pages):<3} {attacked.peak_mb:>5.0f} "
        f"{attacked.free_mb:>8.0f}  {verdict}"
    )


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A tmpfs that ends with this process's mount namespace, if not before."""
    with tempfile.TemporaryDirectory(prefix="fl-abuse-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180, help="length of each attack")
    parser.add_argument("--only", action="append", choices=attacks.ATTACKS, help="only this attack; may be repeated")
    parser.add_argument("--port", type=int, default=8100, help="port of the server; the next port is used, too")
    options = parser.parse_args()
    if IN_NAMESPACE not in os.environ:
        kinds = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
        command = ["unshare", *kinds, sys.executable, *sys.argv]
        os.execvpe("unshare", command, os.environ | {IN_NAMESPACE: "1"})
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}")
    print(f"The attacker gets {CORES} of a core, by {how_throttled()}.\n\n{HEAD}", flush=True)
    results = []
    for attack in options.only or attacks.ATTACKS:
        with small_disk() as folder:
            results.append(measure(attack, folder, options.port, options.seconds))
        print(row(results[-1]), flush=True)
    limits = (
        f"{MOST_TIMES_AS_LONG:g} times as long, {MOST_PAGE_SECONDS:g} s, {MOST_MB} MB, {SPARE_BYTES / 1e6:.0f} MB free"
    )
    print(f"\nlimits: {limits}")
    print(json.dumps([result.as_json() for result in results]))
    return 1 if any(result.misses() for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
