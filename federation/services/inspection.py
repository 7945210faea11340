"""Every stored file and every reference to one, looked at; what does not fit is repaired where it can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from django.db.models import Q, QuerySet

from federation import storage
from federation.lifecycle import ACTIVE, FileStatus, SeatStatus
from federation.models import GlobalModel, ModelUpload, Participation
from federation.services import repair, retention
from federation.services.models import damage
from federation.services.seats import losses

POLL_SECONDS = 0.5
EVALUATOR_SECONDS = 300.0  # a model that only torch can make, with the time to start it


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that does not fit. fault: `missing`, `damaged` or `orphaned`; outcome: what was done about it."""

    digest: str
    fault: str
    of: str = ""
    outcome: str = ""
    left: bool = True


def inspect(on_total: Callable[[int], None], on_bytes: Callable[[int], None]) -> list[Finding]:
    """Read all that rows need, and look for files that none needs."""
    with storage.keeping():  # what retention gives up meanwhile is still there
        needed = _needed()
        on_total(sum(storage.num_bytes(digest) for digest in needed if storage.exists(digest)))
        found = [
            Finding(digest, "damaged" if storage.exists(digest) else "missing", ", ".join(of))
            for digest, of in needed.items()
            if not storage.is_whole(digest, partial(on_bytes, storage.wholeness.HASH_BYTES))
        ]
    return found + [Finding(digest, "orphaned") for digest in _orphans()]


def _needed() -> dict[str, list[str]]:
    """The digests that rows need, each with whose it is."""
    needed: dict[str, list[str]] = {}
    kept = (FileStatus.STORED, FileStatus.DAMAGED)
    for model in GlobalModel.objects.filter(file_status__in=kept).select_related("session"):
        of = f"model {model} of {model.session.name}"
        needed.setdefault(model.digest, []).append(of)
        if model.slots_digest:
            needed.setdefault(model.slots_digest, []).append(f"the optimizer state of {of}")
    for upload in ModelUpload.objects.filter(file_status__in=kept).exclude(digest=""):
        needed.setdefault(upload.digest, []).append(f"the uploaded model {upload}")
    seats = Participation.objects.filter(file_status=FileStatus.STORED).exclude(digest="")
    for seat in seats.select_related("client", "round__session"):
        of = f"the update of {seat.client.name} in {seat.round} of {seat.round.session.name}"
        needed.setdefault(seat.digest, []).append(of)
    return needed


def _orphans() -> list[str]:
    found: set[str] = set()
    for digests in storage.stored():
        with storage.deleting():  # nobody is between a file and its row
            found |= digests - retention.in_use(digests)
    return sorted(found)


def mend(findings: Iterable[Finding]) -> list[Finding]:
    """Make models again, note what is lost, delete what is orphaned. Returns the findings with their outcomes."""
    found = list(findings)
    faulty = {finding.digest for finding in found if finding.fault != "orphaned"}
    damage.note(digest for digest in faulty if _of_models(digest).exists())
    _make_again()
    outcomes = {digest: _settle(digest) for digest in faulty}
    retention.delete_unused(finding.digest for finding in found if finding.fault == "orphaned")
    return [_after(finding, outcomes) for finding in found]


def _of_models(digest: str) -> QuerySet[GlobalModel]:
    return GlobalModel.objects.filter(Q(digest=digest) | Q(slots_digest=digest))


def _make_again() -> None:
    """Every damaged model, the oldest first, for as long as that gets on."""
    damaged = GlobalModel.objects.filter(file_status=FileStatus.DAMAGED)
    made = Event()
    while before := damaged.count():
        made.clear()
        for session_id in set(damaged.values_list("session_id", flat=True)):
            repair.mend(session_id, made.set)
        if damaged.count() >= before and not _fewer_than(before, damaged, made):
            return


def _fewer_than(before: int, damaged: QuerySet[GlobalModel], made: Event) -> bool:
    """Wait for what the evaluator makes, or a worker that is at it too. False if there was nothing for long."""
    until = time.monotonic() + EVALUATOR_SECONDS
    while time.monotonic() < until:
        if made.wait(POLL_SECONDS) or damaged.count() < before:
            return True
    return False


def _settle(digest: str) -> tuple[str, bool]:
    """What became of a faulty file, and whether something is left. Updates that nobody can send again are lost."""
    seats = Participation.objects.filter(digest=digest, file_status=FileStatus.STORED)
    if storage.is_whole(digest):
        return "It was made again.", False
    asked = False
    for seat in seats.select_related("client", "round"):
        if seat.status == SeatStatus.REPORTED and seat.round.status in ACTIVE:
            asked = True
        else:
            losses.lose(seat, missing=not storage.exists(digest))
    if asked:  # the round finds it when it is aggregated, and collects again
        return "Its client is asked again when the round closes.", False
    storage.set_aside(digest)
    if _of_models(digest).filter(file_status=FileStatus.DAMAGED).exists():
        return "It could not be made again now; a worker goes on trying.", True
    return "It is lost: it cannot be made again, and its rows say so.", True


def _after(finding: Finding, outcomes: dict[str, tuple[str, bool]]) -> Finding:
    if finding.fault == "orphaned":
        left = storage.exists(finding.digest)
        outcome = "It is deleted later: somebody keeps the store as it is, such as a backup." if left else "Deleted."
        return replace(finding, outcome=outcome, left=left)
    outcome, left = outcomes[finding.digest]
    return replace(finding, outcome=outcome, left=left)
