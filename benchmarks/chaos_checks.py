"""What must hold of a session after it ended, whatever struck it."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Violated(Exception):
    """An invariant does not hold."""


def check_log(where: str, events: list[dict[str, Any]]) -> None:
    if [e["seq"] for e in events] != list(range(1, len(events) + 1)):
        raise Violated(f"{where}: its events have a gap or a repeat")
    published = [e["payload"]["version"] for e in events if e["kind"] == "model.published"]
    if published != sorted(set(published)):
        raise Violated(f"{where}: versions were published twice or out of order: {published}")


def check_round(where: str, round_: dict[str, Any], quorum: int, events: list[dict[str, Any]]) -> None:
    """Closed, with a reason where it failed, a quorum where not, and each update accepted and counted once."""
    seats = round_["participations"]
    counted = [s for s in seats if s["status"] == "aggregated"]
    received = Counter(e["payload"]["participation"] for e in events if e["kind"] == "update.received")
    damaged = Counter(
        e["payload"].get("participation") for e in events if e["kind"] == "storage.damaged"
    )  # its client was asked again
    if round_["status"] not in ("completed", "failed", "cancelled") or not round_["closed_at"]:
        raise Violated(f"{where} is {round_['status']} though its session ended")
    if round_["status"] == "completed" and len(counted) < quorum:
        raise Violated(f"{where} was completed with {len(counted)} updates of {quorum}")
    if round_["status"] != "completed" and (counted or not round_["reason"]):
        raise Violated(f"{where} {round_['status']} with {len(counted)} counted and the reason {round_['reason']!r}")
    for seat in seats:
        if not 0 <= received[seat["id"]] <= 1 + damaged[seat["id"]]:
            raise Violated(f"{where}: the update of {seat['client']['name']} was accepted {received[seat['id']]} times")
        if seat["status"] == "aggregated" and not received[seat["id"]]:
            raise Violated(f"{where}: {seat['client']['name']} is counted and was never accepted")
        if seat["status"] in ("dropped", "failed", "rejected") and not seat["reason"]:
            raise Violated(f"{where}: the seat of {seat['client']['name']} {seat['status']} without a reason")
        if seat["status"] in ("invited", "training"):
            raise Violated(f"{where}: the seat of {seat['client']['name']} is still {seat['status']}")
