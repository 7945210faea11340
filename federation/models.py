"""What the server knows. Rules are in `lifecycle` and `services`; the constraints here back them up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from federation.lifecycle import (
    ACTIVE,
    ENDED,
    OPEN,
    FileStatus,
    LatePolicy,
    RoundFailure,
    RoundStatus,
    SeatStatus,
    SessionStatus,
)


class Invitation(models.Model):
    """Lets agents enrol. The join code itself is shown once and kept as a hash."""

    code_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=8, help_text="How the code begins, to tell invitations apart.")
    uses = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    client = models.ForeignKey(
        "Client",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="reissues",
        help_text="Whom alone it lets in, again and with a new token. Empty: anybody who is new.",
    )

    class Meta:
        ordering = ("-pk",)
        constraints = (models.CheckConstraint(condition=Q(used__lte=F("uses")), name="invitation_used_at_most_uses"),)

    def __str__(self) -> str:
        return f"{self.hint}-····-····"

    @property
    def uses_left(self) -> int:
        return self.uses - self.used

    def is_open(self, now: datetime) -> bool:
        return self.revoked_at is None and self.uses_left > 0 and (self.expires_at is None or now < self.expires_at)


class ClientQuerySet(models.QuerySet["Client"]):
    def enrolled(self) -> ClientQuerySet:
        return self.filter(removed_at=None)

    def online(self, now: datetime) -> ClientQuerySet:
        """Enabled clients whose last authenticated call is recent enough."""
        return self.enrolled().filter(enabled=True, last_seen__gt=now - settings.FL_ONLINE)

    def free(self) -> ClientQuerySet:
        """Clients that hold no open seat in any session."""
        return self.exclude(seats__status__in=OPEN)


class Client(models.Model):
    """A party that trains beside its own data. Removing it keeps the row, for the rounds it took part in."""

    name = models.CharField(max_length=64)
    token_hash = models.CharField(max_length=64, unique=True)
    old_token_hash = models.CharField(max_length=64, blank=True, default="", help_text="Of the token before this one.")
    enabled = models.BooleanField(default=True)
    ordinal = models.PositiveIntegerField(help_text="Order of enrolment; decides the client's colour everywhere.")
    info = models.JSONField(default=dict, blank=True)
    num_examples = models.BigIntegerField(null=True, blank=True)
    changes = models.JSONField(default=list, blank=True, help_text="What of its data or workloads changed last.")
    changed_at = models.DateTimeField(null=True, blank=True)
    tags = models.JSONField(default=list, blank=True, help_text="Groups it belongs to; sessions may ask for one.")
    invitation = models.ForeignKey(Invitation, models.SET_NULL, null=True, blank=True, related_name="clients")
    enrolled_at = models.DateTimeField(default=timezone.now)
    last_seen = models.DateTimeField(null=True, blank=True)
    announced_online = models.BooleanField(default=False, help_text="What the server log said last, not what is so.")
    removed_at = models.DateTimeField(null=True, blank=True)
    instance = models.CharField(max_length=64, blank=True, default="", help_text="Which agent acts for it.")
    instance_host = models.CharField(max_length=253, blank=True, default="")
    instance_pid = models.PositiveIntegerField(null=True, blank=True)
    instance_since = models.DateTimeField(null=True, blank=True)
    instance_start = models.CharField(max_length=64, blank=True, default="", help_text="The secret of its start.")
    noted = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Entries of the server's log that it caused since `noted_since`."
    )
    noted_since = models.DateTimeField(null=True, blank=True)

    came_back = False  # set by the call that ended its absence

    objects = ClientQuerySet.as_manager()

    class Meta:
        ordering = ("ordinal",)
        constraints = (
            models.UniqueConstraint(Lower("name"), condition=Q(removed_at=None), name="client_name_once"),
            models.UniqueConstraint(fields=("ordinal",), name="client_ordinal_once"),
        )
        indexes: ClassVar = [models.Index(fields=("last_seen",), name="client_last_seen")]

    def __str__(self) -> str:
        return self.name

    @property
    def counts(self) -> bool:
        """Whether its updates may go into a model."""
        return self.enabled and self.removed_at is None

    def is_online(self, now: datetime) -> bool:
        return self.enabled and self.last_seen is not None and self.last_seen > now - settings.FL_ONLINE


class ApiKey(models.Model):
    """Lets a script act as its user. The key itself is shown once and kept as a hash."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=60, blank=True, default="", help_text="What it is for.")
    key_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12)
    may_administer = models.BooleanField(
        default=False, help_text="It may do what only staff may, as long as its user is staff."
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it does not expire.")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.hint}… of {self.user}"


class SignIn(models.Model):
    """A sign-in, a sign-out, or a failed try. `services.signins` removes the oldest."""

    class Outcome(models.TextChoices):
        SIGNED_IN = "signed_in", "signed in"
        SIGNED_OUT = "signed_out", "signed out"
        CONFIRMED = "confirmed", "entered the password again"
        WRONG = "wrong", "wrong name or password"
        LOCKED = "locked", "locked out for a while"
        WRONG_KEY = "wrong_key", "unknown or expired API key"

    time = models.DateTimeField(default=timezone.now)
    username = models.CharField(max_length=150, blank=True, default="", help_text="As typed.")
    address = models.CharField(max_length=64, blank=True, default="")
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    browser = models.CharField(max_length=200, blank=True, default="", help_text="What it says of itself.")

    class Meta:
        verbose_name = "sign-in"
        ordering = ("-pk",)
        indexes: ClassVar = [models.Index(fields=("address", "outcome", "time"), name="sign_in_by_address")]

    def __str__(self) -> str:
        return f"{self.username or self.address} {self.get_outcome_display()}"


class SessionQuerySet(models.QuerySet["TrainingSession"]):
    def waiting_for_a_round(self) -> SessionQuerySet:
        """Running sessions with a model and no active round, the one that waited longest first."""
        active = Round.objects.filter(status__in=ACTIVE, session=models.OuterRef("pk"))
        waiting = self.filter(status=SessionStatus.RUNNING, models__isnull=False).exclude(models.Exists(active))
        return waiting.distinct().order_by("idle_since", "pk")


class TrainingSession(models.Model):
    """One training of one model over a number of rounds, with its own numbered log of events."""

    name = models.CharField(max_length=100)
    status = models.CharField(max_length=12, choices=SessionStatus.choices, default=SessionStatus.DRAFT)
    reason = models.TextField(blank=True, default="")
    workload = models.CharField(max_length=64)
    workload_options = models.JSONField(default=dict, blank=True)
    workload_digest = models.CharField(max_length=64)
    strategy = models.CharField(max_length=64, default="fedavg")
    strategy_options = models.JSONField(default=dict, blank=True)
    compression = models.CharField(max_length=12, default="none", help_text="How clients may encode their updates.")
    compression_options = models.JSONField(default=dict, blank=True)
    rounds = models.PositiveIntegerField()
    cohort_size = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: everyone online.")
    client_tags = models.JSONField(
        default=list, blank=True, help_text="Only clients with one of these tags are asked. Empty: every client."
    )
    quorum = models.PositiveIntegerField(default=1)
    round_seconds = models.PositiveIntegerField(default=600)
    auto_deadline = models.BooleanField(default=False, help_text="Set round_seconds anew for each round, as learnt.")
    learnt_deadline = models.JSONField(null=True, blank=True, help_text="Where the learnt round_seconds comes from.")
    max_retries = models.PositiveSmallIntegerField(default=2)
    on_round_failure = models.CharField(max_length=12, choices=RoundFailure.choices, default=RoundFailure.RETRY)
    late_policy = models.CharField(max_length=12, choices=LatePolicy.choices, default=LatePolicy.DROP)
    defences = models.JSONField(default=list, blank=True, help_text="Against single bad updates; see fl.defences.")
    train = models.JSONField(help_text="epochs, batch_size, learning_rate")
    seed = models.BigIntegerField(default=1)
    start_from = models.ForeignKey("GlobalModel", models.SET_NULL, null=True, blank=True, related_name="continued_by")
    last_seq = models.PositiveBigIntegerField(default=0)
    failing = models.JSONField(default=dict, blank=True, help_text="Steps that failed and are tried again.")
    idle_since = models.DateTimeField(null=True, blank=True, help_text="Since when no round is open; decides turns.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    compacted_at = models.DateTimeField(null=True, blank=True, help_text="When its curves and its log were thinned.")
    points_reported = models.PositiveBigIntegerField(null=True, blank=True, help_text="How many points it had before.")

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = "training session"
        ordering = ("-pk",)
        constraints = (
            models.CheckConstraint(condition=Q(rounds__gte=1), name="session_has_rounds"),
            models.CheckConstraint(condition=Q(quorum__gte=1), name="session_has_a_quorum"),
            models.CheckConstraint(
                condition=Q(cohort_size=None) | Q(quorum__lte=F("cohort_size")), name="session_quorum_within_cohort"
            ),
        )
        indexes: ClassVar = [models.Index(fields=("status",), name="session_status")]

    def __str__(self) -> str:
        return self.name

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def active_round(self) -> Round | None:
        return self.round_set.filter(status__in=ACTIVE).order_by("pk").first()

    def last_round(self) -> Round | None:
        return self.round_set.order_by("number", "attempt").last()

    def last_model(self) -> GlobalModel | None:
        return self.models.order_by("version").last()


class GlobalModelQuerySet(models.QuerySet["GlobalModel"]):
    def kept(self) -> GlobalModelQuerySet:
        """Models that carry a tag: somebody chose them, so their files are never pruned."""
        return self.filter(models.Exists(ModelTag.objects.filter(model=models.OuterRef("pk"))))


class GlobalModel(models.Model):
    """A version of a session's model: 0 is the initial one, n the result of round n."""

    session = models.ForeignKey(TrainingSession, models.CASCADE, related_name="models")
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    num_bytes = models.PositiveBigIntegerField()
    slots_digest = models.CharField(max_length=64, blank=True, default="", help_text="The optimizer state's file.")
    file_status = models.CharField(max_length=12, choices=FileStatus.choices, default=FileStatus.STORED)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    round = models.OneToOneField("Round", models.CASCADE, null=True, blank=True, related_name="model")
    metrics = models.JSONField(default=dict, blank=True, help_text="Central evaluation on the held-out test set.")
    federated_metrics = models.JSONField(
        default=dict, blank=True, help_text="The clients' evaluation on their own held-out data, weighted by examples."
    )
    evaluated_at = models.DateTimeField(null=True, blank=True)
    evaluation_error = models.TextField(blank=True, default="", help_text="Why it could not be evaluated.")
    note = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    objects = GlobalModelQuerySet.as_manager()

    class Meta:
        verbose_name = "global model"
        ordering = ("session", "version")
        constraints = (models.UniqueConstraint(fields=("session", "version"), name="model_version_once"),)
        indexes: ClassVar = [models.Index(fields=("digest",), name="model_digest")]

    def __str__(self) -> str:
        return f"v{self.version}"

    @property
    def is_kept(self) -> bool:
        """Whether a tag keeps its file for good."""
        return bool(self.tags.all())


class ModelTag(models.Model):
    """A word on a global model. One model a workload is in production; any other word may be on many."""

    PRODUCTION = "production"

    model = models.ForeignKey(GlobalModel, models.CASCADE, related_name="tags")
    name = models.CharField(max_length=32)
    workload = models.CharField(max_length=64, help_text="The model's, so that the database can keep production once.")
    added_at = models.DateTimeField(default=timezone.now)
    added_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("model", "name"), name="model_tag_once"),
            models.UniqueConstraint(
                fields=("workload",), condition=Q(name="production"), name="one_production_model_a_workload"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Round(models.Model):
    """One round of a session: clients train from one global model, their updates make the next."""

    session = models.ForeignKey(TrainingSession, models.CASCADE)
    number = models.PositiveIntegerField()
    attempt = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=12, choices=RoundStatus.choices, default=RoundStatus.COLLECTING)
    reason = models.TextField(blank=True, default="")
    base_model = models.ForeignKey(GlobalModel, models.CASCADE, related_name="rounds_from")
    opened_at = models.DateTimeField()
    deadline = models.DateTimeField()
    collected_at = models.DateTimeField(null=True, blank=True, help_text="When it stopped waiting for clients.")
    closed_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    claims = models.PositiveSmallIntegerField(default=0, help_text="Aggregations that were begun and did not end.")

    class Meta:
        ordering = ("session", "number", "attempt")
        constraints = (
            models.UniqueConstraint(fields=("session",), condition=Q(status__in=ACTIVE), name="one_active_round"),
            models.UniqueConstraint(fields=("session", "number", "attempt"), name="round_attempt_once"),
        )

    def __str__(self) -> str:
        return f"round {self.number}" + (f", try {self.attempt}" if self.attempt > 1 else "")

    @property
    def on_failure(self) -> RoundFailure:
        """What follows where it fails: it is tried again, is skipped, or ends its session."""
        policy = self.session.on_round_failure
        if policy != RoundFailure.STOP and self.attempt <= self.session.max_retries:
            return RoundFailure.RETRY
        return RoundFailure.SKIP if policy == RoundFailure.SKIP else RoundFailure.STOP

    @property
    def is_over(self) -> bool:
        """Whether its number is done with: it made a model or was skipped."""
        skipped = self.status == RoundStatus.FAILED and self.on_failure == RoundFailure.SKIP
        return self.status == RoundStatus.COMPLETED or skipped

    def tally(self) -> dict[str, int]:
        """How many seats are open and how many have reported, in one query."""
        return self.seats.aggregate(
            open_seats=models.Count("pk", filter=Q(status__in=OPEN)),
            reported=models.Count("pk", filter=Q(status=SeatStatus.REPORTED)),
        )


class Phase(models.TextChoices):
    DOWNLOADING = "downloading"
    TRAINING = "training"
    EVALUATING = "evaluating"
    UPLOADING = "uploading"


class Participation(models.Model):
    """A client's seat in a round."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="seats")
    client = models.ForeignKey(Client, models.PROTECT, related_name="seats")
    seat = models.PositiveIntegerField(help_text="Number within the round, by client name; sums run in this order.")
    status = models.CharField(max_length=12, choices=SeatStatus.choices, default=SeatStatus.INVITED)
    reason = models.TextField(blank=True, default="")
    base_version = models.PositiveIntegerField()
    phase = models.CharField(max_length=12, choices=Phase.choices, blank=True, default="")
    fraction = models.FloatField(default=0.0)
    progress_at = models.DateTimeField(null=True, blank=True)
    phase_at = models.DateTimeField(null=True, blank=True, help_text="When the current phase began.")
    taken_at = models.DateTimeField(null=True, blank=True, help_text="When the client was first given the work.")
    training_at = models.DateTimeField(null=True, blank=True, help_text="When it began to train.")
    trained_at = models.DateTimeField(null=True, blank=True, help_text="When it began to upload.")
    reported_at = models.DateTimeField(null=True, blank=True)
    upload_offset = models.PositiveBigIntegerField(default=0)
    upload_length = models.PositiveBigIntegerField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True, default="")
    num_bytes = models.PositiveBigIntegerField(default=0)
    file_status = models.CharField(max_length=12, choices=FileStatus.choices, default=FileStatus.STORED)
    num_examples = models.BigIntegerField(null=True, blank=True)
    counted_examples = models.BigIntegerField(
        null=True, blank=True, help_text="What it counts for, where that is not what it claims."
    )
    counted_in = models.ForeignKey(
        Round,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="late_seats",
        help_text="The later round in whose model a late update counts.",
    )
    withdrawn = models.BooleanField(
        default=False, db_default=False, help_text="Its client was disabled or removed first: it never counts."
    )
    staleness = models.PositiveIntegerField(default=0, help_text="Models made between its base and that round's.")
    metrics = models.JSONField(default=dict, blank=True)
    num_points = models.PositiveIntegerField(default=0, db_default=0)
    points_left_out = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Points that were not kept, because they were more than a quota allows."
    )
    rejections = models.PositiveIntegerField(default=0, db_default=0, help_text="How many updates were refused.")
    flags = models.JSONField(default=list, blank=True, help_text="What was odd about its update: codes with numbers.")
    update_norm = models.FloatField(
        null=True, blank=True, help_text="L2 norm, measured when the update was accepted: what the defences go by."
    )
    norm = models.FloatField(null=True, blank=True, help_text="L2 norm of the update.")
    cosine = models.FloatField(null=True, blank=True, help_text="Cosine of the update to the aggregate.")

    class Meta:
        verbose_name = "participation"
        ordering = ("round", "seat")
        constraints = (
            models.UniqueConstraint(fields=("round", "client"), name="one_seat_a_client_and_round"),
            models.UniqueConstraint(fields=("round", "seat"), name="one_client_a_seat"),
            models.UniqueConstraint(fields=("client",), condition=Q(status__in=OPEN), name="one_open_seat_a_client"),
        )

    def __str__(self) -> str:
        return f"{self.client} in {self.round}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def done(self) -> float:
        """The client's reported share of its phase, limited to 0 to 1."""
        return min(1.0, self.fraction) if self.fraction > 0 else 0.0  # NaN gives 0.0, too

    @property
    def weight(self) -> int:
        """The examples that its update counts for."""
        return (self.num_examples if self.counted_examples is None else self.counted_examples) or 0


class Metric(models.Model):
    """A point of a curve, as a client reported it. `value` is null where it was not finite."""

    session = models.ForeignKey(TrainingSession, models.CASCADE, related_name="metric_points")
    participation = models.ForeignKey(Participation, models.CASCADE, related_name="metric_points")
    name = models.CharField(max_length=64)
    step = models.PositiveBigIntegerField()
    value = models.FloatField(null=True, blank=True)
    time = models.DateTimeField()

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=("participation", "name", "step"), name="metric_point_once"),)
        indexes: ClassVar = [
            models.Index(fields=("session", "id"), name="metric_session"),
            models.Index(fields=("participation",), condition=Q(value=None), name="metric_not_finite"),
        ]

    def __str__(self) -> str:
        return f"{self.name} at step {self.step}"


class LogEntry(models.Model):
    """One line of a numbered log. Entries are only ever added; retention empties what one carries."""

    seq = models.PositiveBigIntegerField()
    time = models.DateTimeField(default=timezone.now)
    payload = models.JSONField(default=dict)

    class Meta:
        abstract = True


STEERING = (  # the kinds of a session's events that somebody caused
    "session.created",
    "session.started",
    "session.paused",
    "session.resumed",
    "session.extended",
    "session.cancelled",
    "round.extended",
    "round.finished",
    "seat.skipped",
)


class Event(LogEntry):
    """An entry of a session's log."""

    class Kind(models.TextChoices):
        SESSION_CREATED = "session.created"
        SESSION_STARTED = "session.started"
        SESSION_PAUSED = "session.paused"
        SESSION_RESUMED = "session.resumed"
        SESSION_EXTENDED = "session.extended"
        SESSION_COMPLETED = "session.completed"
        SESSION_FAILED = "session.failed"
        SESSION_CANCELLED = "session.cancelled"
        ROUND_OPENED = "round.opened"
        ROUND_AGGREGATED = "round.aggregated"
        ROUND_COMPLETED = "round.completed"
        ROUND_FAILED = "round.failed"
        ROUND_CANCELLED = "round.cancelled"
        ROUND_EXTENDED = "round.extended"
        ROUND_REOPENED = "round.reopened"
        ROUND_FINISHED = "round.finished"
        SEAT_TRAINING = "seat.training"
        SEAT_DROPPED = "seat.dropped"
        SEAT_FAILED = "seat.failed"
        SEAT_SKIPPED = "seat.skipped"
        UPDATE_RECEIVED = "update.received"
        UPDATE_REJECTED = "update.rejected"
        UPDATE_LATE = "update.late"
        MODEL_PUBLISHED = "model.published"
        MODEL_EVALUATED = "model.evaluated"
        METRICS_REPORTED = "metrics.reported"
        METRICS_LEFT_OUT = "metrics.left_out"
        STORAGE_DAMAGED = "storage.damaged"
        STORAGE_REPAIRED = "storage.repaired"

    session = models.ForeignKey(TrainingSession, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=24, choices=Kind.choices)

    class Meta:
        ordering = ("session", "seq")
        constraints = (models.UniqueConstraint(fields=("session", "seq"), name="event_seq_once"),)
        indexes: ClassVar = [models.Index(fields=("-id",), condition=Q(kind__in=STEERING), name="event_by_people")]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


class ServerEvent(LogEntry):
    """An entry of the server's own log: what belongs to no session."""

    class Kind(models.TextChoices):
        CLIENT_ENROLLED = "client.enrolled"
        CLIENT_ONLINE = "client.online"
        CLIENT_OFFLINE = "client.offline"
        CLIENT_LEFT = "client.left"
        CLIENT_ENABLED = "client.enabled"
        CLIENT_DISABLED = "client.disabled"
        CLIENT_TAGGED = "client.tagged"
        CLIENT_REISSUED = "client.reissued"
        CLIENT_CHANGED = "client.changed"
        INVITATION_CREATED = "invitation.created"
        INVITATION_REVOKED = "invitation.revoked"
        MODEL_TAGGED = "model.tagged"
        MODEL_UNTAGGED = "model.untagged"
        MODEL_NOTED = "model.noted"
        ALERT_RAISED = "alert.raised"
        ALERT_ACKNOWLEDGED = "alert.acknowledged"
        RULE_CREATED = "rule.created"
        RULE_CHANGED = "rule.changed"
        RULE_DELETED = "rule.deleted"
        WORKER_SILENT = "worker.silent"
        WORKER_RECOVERED = "worker.recovered"
        SESSION_STARTED = "session.started"
        SESSION_COMPLETED = "session.completed"
        SESSION_FAILED = "session.failed"
        SESSION_CANCELLED = "session.cancelled"
        SESSION_DELETED = "session.deleted"
        STORAGE_LOW = "storage.low"
        STORAGE_RECOVERED = "storage.recovered"
        CLOCK_JUMPED = "clock.jumped"

    kind = models.CharField(max_length=24, choices=Kind.choices)

    class Meta:
        ordering = ("seq",)
        constraints = (models.UniqueConstraint(fields=("seq",), name="server_event_seq_once"),)

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


class Server(models.Model):
    """The one row of the server itself: the end of its log, and when a worker last ticked."""

    last_seq = models.PositiveBigIntegerField(default=0)
    ticked_at = models.DateTimeField(null=True, blank=True)
    worker_silent = models.BooleanField(default=False, help_text="What the server log said last, not what is so.")
    storage_low_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when nothing is taken in, because the disk is full."
    )

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(pk=1), name="one_server_row"),)

    def __str__(self) -> str:
        return "this server"

    def is_ticking(self, now: datetime) -> bool:
        return self.ticked_at is not None and now - self.ticked_at < timedelta(seconds=10)


class ClientLog(models.Model):
    """The tail of an agent's log, where the site chose to send it: [time, text] a line, the newest last."""

    client = models.OneToOneField(Client, models.CASCADE, related_name="log")
    lines = models.JSONField(default=list)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"log of {self.client}"


class AlertRule(models.Model):
    """What to tell somebody about, and by which ways. The page shows every alert."""

    class Kind(models.TextChoices):
        LOSS_DIVERGED = "loss_diverged"
        CLIENT_SILENT = "client_silent"
        ROUND_FAILED = "round_failed"
        ROUND_WAITS = "round_waits"
        SESSION_DONE = "session_done"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    minutes = models.PositiveIntegerField(default=10, help_text="Of silence or of waiting, before it is told.")
    factor = models.FloatField(default=2.0, help_text="How many times the best loss counts as diverged.")
    webhook_url = models.CharField(max_length=500, blank=True, default="")
    emails = models.CharField(max_length=500, blank=True, default="", help_text="Separated by commas.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, help_text="What happened before it is not told.")
    created_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.get_kind_display()


class Alert(models.Model):
    """Something that a rule found. One cause is told once a rule."""

    rule = models.ForeignKey(AlertRule, models.CASCADE, related_name="alerts")
    cause = models.CharField(max_length=120, help_text="What happened, so that it is told once: round:12, …")
    sentence = models.TextField()
    session = models.ForeignKey(TrainingSession, models.CASCADE, null=True, blank=True, related_name="alerts")
    client = models.ForeignKey(Client, models.CASCADE, null=True, blank=True, related_name="alerts")
    raised_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ("-pk",)
        constraints = (models.UniqueConstraint(fields=("rule", "cause"), name="alert_once_a_cause"),)

    def __str__(self) -> str:
        return self.sentence


class Delivery(models.Model):
    """An alert's way to somebody who is not looking at the page. Tried again until it arrives or is given up."""

    class Channel(models.TextChoices):
        WEBHOOK = "webhook"
        EMAIL = "email"

    class Status(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(help_text="When it is tried next, or when whoever tries it now has given up.")
    error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=("alert", "channel"), name="one_delivery_a_channel"),)
        indexes: ClassVar = [models.Index(fields=("next_at",), condition=Q(status="waiting"), name="delivery_due")]

    def __str__(self) -> str:
        return f"{self.channel}: {self.status}"
