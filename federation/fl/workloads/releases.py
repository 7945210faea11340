"""Digests of releases whose workloads train the same as today's.

A session that was made by one of them is served by all of them: see `alike` in this package. Whoever changes a source
that a workload's digest covers adds the digest of the last release here. If the change makes the same seed and data
train to other bytes, the workload raises its `revision` instead, and begins with an empty list.
"""

from collections.abc import Mapping

ACCEPTED: Mapping[str, Mapping[int, tuple[str, ...]]] = {  # by workload and revision
    "digits": {1: ("1993cf4bcb5a5e20de4a0dbdc8c4c8e4b695cc2c541b597dd1f48899e992aee8",)},  # 0.1.0
    "synthetic": {1: ("abb202974e493e2817943f6dcfc766b8affc727084d6a48fa987b87707b89bcc",)},  # 0.1.0
    "threes_and_sevens": {1: ("687d5db42265616754b788bc948ab799af2daa9b6d819d629b60ad0629f27e6d",)},  # 0.1.0
}


PLAIN_ONLY = frozenset(  # digests of releases that know plain SGD and no other setting of training
    digest for name in ("digits", "threes_and_sevens") for digest in ACCEPTED[name][1]
)


def accepted(name: str, revision: int) -> tuple[str, ...]:
    """The digests of earlier releases of this revision."""
    return ACCEPTED.get(name, {}).get(revision, ())
