"""What is kept of files and points, and for how long. Nothing goes that something still needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Mod

from federation import killpoints, storage
from federation.compiled import Select
from federation.lifecycle import ACTIVE, ENDED, KEPT, OPEN, FileStatus, Outcome, WorkKind
from federation.models import GlobalModel, ModelUpload, Participation, Round, TrainingSession
from federation.services import compaction
from federation.services.models import choosing
from federation.services.seats import late

T = TypeVar("T")
PARTS, HOUR = 24, timedelta(hours=1)  # `prune` comes once an hour, and after a day of work everything had its turn
AT_ONCE_SECONDS = 0.1  # to wait for those who store, after a round
DIGESTS_AT_ONCE = 10_000  # in one query; SQLite takes 32,766 values
NEEDED = (FileStatus.STORED, FileStatus.DAMAGED)  # a damaged file may have been put back


def prune(*, now: datetime, part: int | None = None) -> int:
    """Whatever is kept no longer, of every session, and stored files that no row names. Returns how many files.

    part: of PARTS; then only that part of the stored files, and of the sessions that ended long ago. Little changes
    there: a tag is taken away, or a session is deleted.
    """
    deleted = expire(_in_part(part, now=now))
    over = TrainingSession.objects.filter(status__in=ENDED, ended_at__lte=now - settings.FL_COMPACT_AFTER)
    for session in over.filter(compacted_at=None):
        compaction.compact(session, now=now)
    folders = storage.stored() if part is None else storage.stored(part, PARTS)
    return deleted + sum(delete_unused(digests) for digests in folders)


def _in_part(part: int | None, *, now: datetime) -> QuerySet[TrainingSession]:
    sessions = TrainingSession.objects.all()
    if part is None:
        return sessions
    long_over = Q(status__in=ENDED, ended_at__lte=now - PARTS * HOUR)
    return sessions.annotate(number=Mod(F("pk"), PARTS)).exclude(long_over & ~Q(number=part))


def expire(sessions: QuerySet[TrainingSession]) -> int:
    """Give up the files of some sessions that are past their time. Their rows stay and say `removed`.

    Returns how many files were deleted.
    """
    given_up = _expire_updates(sessions)
    for session in sessions:
        given_up |= _expire_models(session)
    return delete_unused(given_up)


# ---- updates


def give_up_updates(session_id: int) -> int:
    """Those of a session with large models that are past their time. Their files may serve the next updates.

    Called after each round, for `expire` comes once a minute, and many rounds of large updates may pass in one. It
    does not wait for a backup: the next round or `expire` gives up more.
    """
    newest = _newest_model.first(session_id)
    if newest is None or (newest.num_bytes or 0) < storage.spare.LEAST_BYTES:
        return 0
    with storage.deleting(AT_ONCE_SECONDS) as may:
        given_up = _expire_updates(TrainingSession.objects.filter(pk=session_id)) if may else set()
        return sum(_delete(some, spare=True) for some in _in_parts(sorted(given_up)))


_newest_model = Select(
    lambda session: GlobalModel.objects.filter(session=session).only("num_bytes").order_by("-version")[:1], int
)


def _expire_updates(sessions: QuerySet[TrainingSession]) -> set[str]:
    """Those that went into rounds further back than the last so many that made a model.

    An open round's never, nor a late one that is still to count.
    """
    completed = Round.objects.filter(session=OuterRef("round__session"), kind=WorkKind.TRAIN, outcome=Outcome.MODEL)
    newest = Subquery(completed.order_by("-number").values("number")[:1])
    old = (
        Participation.objects.filter(round__session__in=sessions, file_status__among=KEPT, digest__filled=True)
        .exclude(round__status__among=ACTIVE)
        .exclude(late.WAITING)
        .annotate(newest=newest, used_in=Coalesce("counted_in__number", "round__number"))
        .filter(used_in__lte=F("newest") - settings.FL_KEEP_UPDATES)
        .order_by()
    )
    given_up: set[str] = set()
    while rows := list(old.values_list("pk", "digest")[:DIGESTS_AT_ONCE]):
        Participation.objects.filter(pk__in=[pk for pk, _ in rows]).update(file_status=FileStatus.REMOVED)
        given_up.update(digest for _, digest in rows)
    return given_up


# ---- models


def _expire_models(session: TrainingSession) -> set[str]:
    """Models that the policy does not keep, and the optimizer states with which nothing can be done any more."""
    models = list(session.models.filter(file_status=FileStatus.STORED).order_by("version"))
    if not models:
        return set()
    if session.kind != WorkKind.TRAIN:
        return _expire_measured(session, models)
    # Each model of the last rounds can be made again: from its updates, which are kept, and the model before it.
    recent = models[-1].version - settings.FL_KEEP_UPDATES
    old = [model for model in models if model.version < recent]
    kept = _kept(session, models)
    removed = [model for model in old if model.pk not in kept]
    without_slots = [model for model in old if model.slots_digest]
    given_up = {model.digest for model in removed} | {model.slots_digest for model in without_slots}
    for some in _in_parts([model.pk for model in without_slots]):
        GlobalModel.objects.filter(pk__in=some).update(slots_digest="")
    for some in _in_parts([model.pk for model in removed]):
        GlobalModel.objects.filter(pk__in=some, tags=None).update(file_status=FileStatus.REMOVED)
    return given_up


def _expire_measured(session: TrainingSession, models: list[GlobalModel]) -> set[str]:
    """The model of an evaluation that is over, once nothing else needs its file."""
    if not session.has_ended:
        return set()
    needed = Q(tags__isnull=False) | Q(continued_by__isnull=False)
    stays = set(session.models.filter(needed).values_list("pk", flat=True))
    others = GlobalModel.objects.exclude(session=session).filter(file_status__in=NEEDED)
    # An evaluation that is over needs it no more than this one, or each would keep it for the other.
    others = others.filter(Q(session__kind=WorkKind.TRAIN) | ~Q(session__status__in=ENDED) | needed)
    gone = [one for one in models if one.pk not in stays and not others.filter(digest=one.digest).exists()]
    GlobalModel.objects.filter(pk__in=[one.pk for one in gone], tags=None).update(file_status=FileStatus.REMOVED)
    return {one.digest for one in gone}


def _kept(session: TrainingSession, models: list[GlobalModel]) -> set[int]:
    """The keys of the models that stay, whatever their age."""
    policy, _, every = settings.FL_KEEP_MODELS.partition("_")
    if policy == "all":
        return {model.pk for model in models}
    counts = Q(counted_in__status__among=ACTIVE) | Q(
        counted_in__number__gt=models[-1].version - settings.FL_KEEP_UPDATES
    )
    used = Participation.objects.filter(Q(status__among=OPEN) | counts | late.WAITING)
    bases = used.filter(round__session=session).values("round__base_model")
    needed = (
        Q(rounds_from__status__among=ACTIVE) | Q(pk__in=bases) | Q(tags__isnull=False) | Q(continued_by__isnull=False)
    )
    kept = set(session.models.filter(needed | Q(evaluated_at=None)).values_list("pk", flat=True))
    best = choosing.best(models, choosing.ordered(session))
    kept |= {best.pk} if best is not None and policy == "best" else set()
    return kept | {model.pk for model in models if policy == "every" and model.version % int(every) == 0}


# ---- files


def delete_unused(digests: Iterable[str]) -> int:
    """Delete those files that no row needs. Returns how many; while a backup runs none, and `prune` comes again."""
    deleted = 0
    for some in _in_parts(sorted(set(digests))):
        with storage.deleting() as may:
            if not may:
                break
            deleted += _delete(some)
    return deleted


def _delete(digests: Collection[str], *, spare: bool = False) -> int:
    """The same while nobody stores. spare: the files may be written over."""
    unused = set(digests) - in_use(set(digests))
    if unused:
        killpoints.reached(killpoints.Point.GIVEN_UP)
    storage.delete(unused, spare=spare)
    return len(unused)


def in_use(digests: set[str]) -> set[str]:
    """Those of some digests that a row needs."""
    made = GlobalModel.objects.filter(Q(digest__in=digests) | Q(slots_digest__in=digests), file_status__in=NEEDED)
    sent = Participation.objects.filter(digest__in=digests, file_status__in=NEEDED)
    uploaded = ModelUpload.objects.filter(digest__in=digests, file_status__in=NEEDED)
    found = {digest for pair in made.values_list("digest", "slots_digest") for digest in pair}
    return found.union(sent.values_list("digest", flat=True), uploaded.values_list("digest", flat=True))


def _in_parts(values: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), DIGESTS_AT_ONCE):
        yield values[start : start + DIGESTS_AT_ONCE]
