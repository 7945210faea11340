"""The life of sessions, rounds and seats: their states, and the moves between them."""

from django.db.models import TextChoices


class SessionStatus(TextChoices):
    DRAFT = "draft"  # created, not started
    RUNNING = "running"  # opens a round whenever enough clients are free
    PAUSED = "paused"  # opens no new round; the open one goes on
    COMPLETED = "completed"  # all rounds have a model
    FAILED = "failed"  # a round failed more often than it may be retried; see TrainingSession.reason
    CANCELLED = "cancelled"  # an operator stopped it


class WorkKind(TextChoices):
    """What a seat is asked to do, and so what its round and its session are for."""

    TRAIN = "train"  # a new global model
    EVALUATE = "evaluate"  # numbers of a stored model, on the clients' own held-out data
    INITIALISE = "initialise"  # version 0, from one site


class Schedule(TextChoices):
    """Who gets a seat, when a round closes, and who goes on afterwards."""

    SYNCHRONOUS = "synchronous"  # a cohort at once; the round closes when all are done, or at its deadline
    OVER_SELECTED = "over_selected"  # more than the quorum are asked; the round closes at the quorum
    BUFFERED = "buffered"  # whoever is free joins; the round closes at the quorum, the others go on


class Origin(TextChoices):
    """Where a global model comes from."""

    SEED = "seed"  # made from the workload, its options and the session's seed
    SITE = "site"  # sent by a client
    UPLOAD = "upload"  # a file that an operator sent
    ADOPTED = "adopted"  # another session's model
    ROUND = "round"  # made of a round's updates


class Outcome(TextChoices):
    """What a round that is over has made."""

    MODEL = "model"
    NUMBERS = "numbers"
    SKIPPED = "skipped"  # nothing, and its session went on
    NOTHING = "nothing"  # it failed or was cancelled


class RoundStatus(TextChoices):
    COLLECTING = "collecting"  # clients are training; updates are accepted
    AGGREGATING = "aggregating"  # one worker is building the next global model
    COMPLETED = "completed"  # a new global model was published, or numbers were found
    FAILED = "failed"  # quorum missed or aggregation failed; see Round.reason
    CANCELLED = "cancelled"  # an operator stopped the session


class SeatStatus(TextChoices):
    INVITED = "invited"  # the seat exists; its client has not asked for work yet
    TRAINING = "training"  # the client has the work
    REPORTED = "reported"  # its update or its numbers are accepted
    AGGREGATED = "aggregated"  # its update went into a global model
    LATE = "late"  # its update came after the seat was dropped: kept; see Participation.counted_in
    FAILED = "failed"  # the client gave up; see Participation.reason
    REJECTED = "rejected"  # its updates were refused and the round closed before a good one came
    # It does not count: deadline, skip, leave or cancel. Disabling or removing a client drops reported ones, too.
    DROPPED = "dropped"


class SeatReason(TextChoices):
    """Why a seat ended without counting in its round."""

    CLIENT_FAILED = "client_failed"
    LEFT = "left"
    DISABLED = "disabled"
    REMOVED = "removed"
    DEADLINE = "deadline"
    SKIPPED = "skipped"
    ROUND_CLOSED = "round_closed"
    ROUND_FAILED = "round_failed"
    SESSION_ENDED = "session_ended"
    REJECTED = "rejected"
    DAMAGED = "damaged"


class RoundReason(TextChoices):
    """Why a round ended without a model."""

    QUORUM_AT_DEADLINE = "quorum_at_deadline"
    QUORUM_NO_SEAT = "quorum_no_seat"
    NOT_FINITE = "not_finite"
    MISFIT = "misfit"
    INTERNAL = "internal"
    MODEL_LOST = "model_lost"
    CANCELLED = "cancelled"


class FileStatus(TextChoices):
    """Whether the weight file that a row names can be used."""

    STORED = "stored"
    DAMAGED = "damaged"  # it does not fit its digest, or is missing; a model is being made again
    LOST = "lost"  # damaged, and it cannot be made again
    REMOVED = "removed"  # by retention


class RoundFailure(TextChoices):
    """What a session does about a round that failed."""

    RETRY = "retry", "try again, then stop"  # up to max_retries times; then the session fails
    SKIP = "skip", "try again, then skip it"  # up to max_retries times; then the next begins from the last model
    STOP = "stop", "stop at once"  # the session fails


class LatePolicy(TextChoices):
    """What becomes of an update that comes after its round closed. It is kept in any case."""

    DROP = "drop", "keep it, don't count it"
    NEXT_ROUND = "next_round", "count it in the next round"  # relative to the model as it then is


ENDED = (SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.CANCELLED)
LIVE = (SessionStatus.RUNNING, SessionStatus.PAUSED)
ACTIVE = (RoundStatus.COLLECTING, RoundStatus.AGGREGATING)
OPEN = (SeatStatus.INVITED, SeatStatus.TRAINING)
MADE = (Outcome.MODEL, Outcome.NUMBERS)  # what a completed round has made
SETTLED = (Outcome.MODEL, Outcome.NUMBERS, Outcome.SKIPPED)  # the next number follows, not another try
BESIDE = (WorkKind.EVALUATE, WorkKind.INITIALISE)  # kinds of work that do not train
KEPT, DAMAGED = (FileStatus.STORED,), (FileStatus.DAMAGED,)
COUNTED = (SeatStatus.REPORTED, SeatStatus.AGGREGATED)

SESSION_MOVES = {
    (SessionStatus.DRAFT, SessionStatus.RUNNING),
    (SessionStatus.DRAFT, SessionStatus.CANCELLED),
    (SessionStatus.RUNNING, SessionStatus.PAUSED),
    (SessionStatus.PAUSED, SessionStatus.RUNNING),
    *((live, end) for live in LIVE for end in ENDED),
}
ROUND_MOVES = {
    (RoundStatus.COLLECTING, RoundStatus.AGGREGATING),
    (RoundStatus.COLLECTING, RoundStatus.FAILED),
    (RoundStatus.COLLECTING, RoundStatus.CANCELLED),
    (RoundStatus.AGGREGATING, RoundStatus.COLLECTING),  # an update's file was damaged: its client is asked again
    (RoundStatus.AGGREGATING, RoundStatus.COMPLETED),
    (RoundStatus.AGGREGATING, RoundStatus.FAILED),
    (RoundStatus.AGGREGATING, RoundStatus.CANCELLED),
}
