"""Random faults against a real server, eight real agents and two sessions; nothing may be lost.

    .venv/bin/python benchmarks/chaos.py --minutes 20 --seed 1 [--mode return|loss]
    .venv/bin/python benchmarks/chaos.py --kills 500 --seed 1

Two sessions run side by side, and two more when they end, until the time is over. The faults, their order, targets
and sizes come from the seed; when each strikes depends on the one before it, which is waited for.

return: every agent comes back before the deadline, and the models of every session equal, byte for byte, those
    of a session with the same seed that nobody disturbed.
loss: agents die for good (a new one joins in their place), stay away for longer than a round, and send too late.

In both: each accepted update is counted at most once, events are numbered without gap, every closed round says
why it closed as it did, and no process ends that was not killed. Status 1 where that does not hold.
A recovery is the time from a kill, or from the end of another fault, to the next update that the server accepted.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from benchmarks.chaos_checks import Violated  # noqa: E402
from benchmarks.chaos_faults import KILLS, Faults, kinds_of, plans  # noqa: E402
from benchmarks.chaos_site import AGENTS, SIZES, Sample, Site  # noqa: E402
from tests.e2e.stack import until  # noqa: E402


def run(site: Site, *, minutes: float, kills: int) -> None:
    """Strike until the time is over or so many were killed, then let the sessions end."""
    site.start()
    if site.mode == "return":
        site.undisturbed()
    else:
        site.launch()
    site.began = time.monotonic()
    faults, told = Faults(site), 0.0
    end = site.began + minutes * 60
    for plan in plans(site.seed, kinds_of(site.mode, kills)):
        killed = sum(site.record.faults[kind] for kind in KILLS)
        if (kills and killed >= kills) or (not kills and time.monotonic() > end):
            break
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(progress(site, killed), file=sys.stderr, flush=True)
        with contextlib.suppress(requests.RequestException):  # the server is on its way up
            faults.strike(plan)
        site.wait(plan.pause)
    last = list(site.live)
    until(lambda: not site.open_sessions(), seconds=300, why="the end of the last sessions")
    for index, session in enumerate(last):
        site.check(index, session)


def progress(site: Site, killed: int) -> str:
    record, seconds = site.record, time.monotonic() - site.began
    return (
        f"{seconds:5.0f} s: {sum(record.faults.values())} faults, {killed} of them kills; "
        f"{sum(record.sessions.values())} sessions and {sum(record.rounds.values())} rounds checked"
    )


def report(site: Site) -> None:
    record, minutes = site.record, (time.monotonic() - site.began) / 60
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}\n")
    print(f"{minutes:.1f} min, {AGENTS} agents, sessions of {' and '.join(f'{size:,}' for size in SIZES)} parameters")
    print(f"  {'fault':<26} {'times':>6}   seconds to the next accepted update: median, worst")
    for kind, count in sorted(record.faults.items()):
        seconds = record.recoveries[kind]
        figures = f"{statistics.median(seconds):8.2f} {max(seconds):8.2f}" if seconds else ""
        print(f"  {kind:<26} {count:>6}   {figures}")
    killed = [s for kind in KILLS[:2] for s in record.recoveries[kind]]
    if killed:
        print(f"  {'the server was killed':<26} {len(killed):>6}   {statistics.median(killed):8.2f} {max(killed):8.2f}")
    print(f"  all faults                 {sum(record.faults.values()):>6}")
    print(f"  sent again or late: {dict(record.answers)}")
    print(f"  sessions: {dict(record.sessions)}; rounds: {dict(record.rounds)}")
    print(f"  {record.updates} updates accepted, {record.events} events")
    show_samples(record.samples)


def show_samples(samples: list[Sample]) -> None:
    """In quarters of the run, of the server where it had run for 5 s at least."""
    print(f"  {'over time':<12} {'server MB':>10} {'files':>6} {'threads':>8} {'agents MB':>10}   (medians)")
    old = [sample for sample in samples if sample.age >= 5] or samples
    size = max(1, -(-len(old) // 4))
    for start in range(0, len(old), size):
        part = old[start : start + size]
        middle = {n: statistics.median(getattr(s, n) for s in part) for n in ("mb", "files", "threads", "agents_mb")}
        print(
            f"  to {part[-1].at:6.0f} s  {middle['mb']:>10.0f} {middle['files']:>6.0f} "
            f"{middle['threads']:>8.0f} {middle['agents_mb']:>10.0f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=("return", "loss"), default="return")
    parser.add_argument("--kills", type=int, default=0, help="only kills, so many, in place of --minutes")
    parser.add_argument("--keep", type=Path, help="a folder for everything that is written; it is kept")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        site = Site(folder, mode=options.mode, seed=options.seed)
        stack.callback(site.stack.stop)
        status = 0
        try:
            run(site, minutes=options.minutes, kills=options.kills)
        except (Violated, AssertionError) as error:
            print(f"VIOLATED: {error}", file=sys.stderr)
            status = 1
        report(site)
        print("all invariants held" if status == 0 else "an invariant does not hold")
    return status


if __name__ == "__main__":
    sys.exit(main())
