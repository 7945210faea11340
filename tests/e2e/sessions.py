"""Sessions that several files of tests look at."""

from __future__ import annotations

from tests.e2e.stack import Stack
from tests.e2e.test_browser import DIGITS


def past(stack: Stack, *, long: int = 0) -> dict[str, str]:
    """Sessions that are over, by name: two that learn digits, and with `long` one of so many rounds."""
    asked = {"alpha": {"workload": DIGITS, "rounds": 2}, "beta": {"workload": DIGITS, "rounds": 2, "seed": 9}}
    asked |= {"long": {"rounds": long}} if long else {}
    ids = {name: stack.session(name=name, cohort_size=2, **change) for name, change in asked.items()}
    for session in ids.values():
        stack.ended(session)
    return ids


def learned(stack: Stack) -> str:
    """A session of three rounds of real training, which is over."""
    session = stack.session(name="done", workload=DIGITS, cohort_size=2, train={"epochs": 2, "batch_size": 8})
    stack.ended(session)
    return session


def run_a_short_one(stack: Stack) -> None:
    stack.ended(stack.session(name="meanwhile", rounds=1, cohort_size=2))
