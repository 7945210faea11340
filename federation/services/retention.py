"""What is kept of the stored files, and for how long. Nothing goes that a row still needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.models import Q

from federation import storage
from federation.lifecycle import FileStatus
from federation.models import GlobalModel, Participation

DIGESTS_AT_ONCE = 10_000  # in one query; SQLite takes 32,766 values
NEEDED = (FileStatus.STORED, FileStatus.DAMAGED)  # a damaged file may have been put back


def delete_unused(digests: Iterable[str]) -> int:
    """Delete those files that no row needs. Returns how many; while a backup runs none, and `prune` comes again."""
    deleted = 0
    for some in _in_parts(sorted(set(digests))):
        with storage.deleting() as may:
            if not may:
                break
            unused = some - in_use(some)
            storage.delete(unused)
            deleted += len(unused)
    return deleted


def in_use(digests: set[str]) -> set[str]:
    """Those of some digests that a row needs."""
    made = GlobalModel.objects.filter(Q(digest__in=digests) | Q(slots_digest__in=digests), file_status__in=NEEDED)
    sent = Participation.objects.filter(digest__in=digests, file_status__in=NEEDED)
    found = {digest for pair in made.values_list("digest", "slots_digest") for digest in pair}
    return found | set(sent.values_list("digest", flat=True))


def _in_parts(digests: list[str]) -> Iterator[set[str]]:
    for start in range(0, len(digests), DIGESTS_AT_ONCE):
        yield set(digests[start : start + DIGESTS_AT_ONCE])
