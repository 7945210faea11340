"""Rounds, the clients' seats in them, and the points of their curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.db import models
from django.db.models import Q

from federation.lifecycle import (
    ACTIVE,
    BESIDE,
    COUNTED,
    KEPT,
    OPEN,
    SETTLED,
    FileStatus,
    Outcome,
    RoundFailure,
    RoundReason,
    RoundStatus,
    SeatReason,
    SeatStatus,
    WorkKind,
)
from federation.models.clients import Client
from federation.models.sessions import GlobalModel, TrainingSession

LABELS: Mapping[str, str] = {
    WorkKind.TRAIN: "round",
    WorkKind.EVALUATE: "evaluation",
    WorkKind.INITIALISE: "initialisation",
}


class Round(models.Model):
    """One round of a session: clients train from one global model, and their updates make the next.

    Rounds of another kind ask for other work. Each kind has numbers of its own.
    """

    session = models.ForeignKey(TrainingSession, models.CASCADE)
    kind = models.CharField(
        max_length=12,
        default=WorkKind.TRAIN.value,
        db_default=WorkKind.TRAIN.value,
        help_text="What its clients are asked to do: a file in federation/work.",
    )
    number = models.PositiveIntegerField()
    attempt = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=12, choices=RoundStatus.choices, default=RoundStatus.COLLECTING)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, blank=True, default="", db_default="")
    metrics = models.JSONField(default=dict, blank=True, help_text="What its reports say together, by measure.")
    privacy = models.JSONField(null=True, blank=True, help_text="What differential privacy did, and what it cost.")
    errors = models.JSONField(default=dict, blank=True, help_text="Measures that could not be combined, and why.")
    reason = models.TextField(blank=True, default="")
    reason_code = models.CharField(max_length=24, choices=RoundReason.choices, blank=True, default="", db_default="")
    reason_args = models.JSONField(default=dict, blank=True)
    base_model = models.ForeignKey(
        GlobalModel,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rounds_from",
        help_text="Empty only where the round makes version 0.",
    )
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
            models.UniqueConstraint(fields=("session", "kind", "number", "attempt"), name="round_attempt_once"),
        )
        indexes: ClassVar = [models.Index(fields=("kind",), condition=Q(kind__among=BESIDE), name="round_beside")]

    def __str__(self) -> str:
        return self.label + (f", try {self.attempt}" if self.attempt > 1 else "")

    @property
    def label(self) -> str:
        """What it is, with its number: 'round 3', 'evaluation 1'."""
        return f"{LABELS.get(self.kind, self.kind)} {self.number}"

    @property
    def base(self) -> GlobalModel:
        """The model from which its clients start. Raises ValueError for a round that makes version 0."""
        if self.base_model is None:
            raise ValueError(f"{self} has no base model")
        return self.base_model

    @property
    def on_failure(self) -> RoundFailure:
        """What follows where it fails: it is tried again, is skipped, or ends its session."""
        policy = self.session.on_round_failure
        if policy != RoundFailure.STOP and self.attempt <= self.session.max_retries:
            return RoundFailure.RETRY
        return RoundFailure.SKIP if policy == RoundFailure.SKIP else RoundFailure.STOP

    @property
    def is_over(self) -> bool:
        """Whether its number is done with: it made something or was skipped."""
        return self.outcome in SETTLED

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
    turn = models.PositiveIntegerField(default=1, db_default=1, help_text="The client's n-th seat in this round.")
    invited_at = models.DateTimeField(null=True, blank=True, help_text="Empty: when the round opened.")
    deadline = models.DateTimeField(null=True, blank=True, help_text="Empty: the round's.")
    reason = models.TextField(blank=True, default="")
    reason_code = models.CharField(max_length=24, choices=SeatReason.choices, blank=True, default="", db_default="")
    reason_args = models.JSONField(null=True, blank=True)
    last_update = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        help_text="The client's last counted one.",
    )
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
    counts = models.JSONField(null=True, blank=True, help_text="Counts that add up over sites, by measure.")
    timings = models.JSONField(null=True, blank=True, help_text="Seconds of each phase, by the client's clock.")
    local_steps = models.PositiveBigIntegerField(null=True, blank=True)
    base_train_loss = models.FloatField(null=True, blank=True)
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
    alignment = models.FloatField(
        null=True, blank=True, help_text="Cosine of the update to the mean direction of the others."
    )

    class Meta:
        verbose_name = "participation"
        ordering = ("round", "seat")
        constraints = (
            models.UniqueConstraint(fields=("round", "client", "turn"), name="one_seat_a_client_and_round"),
            models.UniqueConstraint(fields=("round", "seat"), name="one_client_a_seat"),
            models.UniqueConstraint(fields=("client",), condition=Q(status__in=OPEN), name="one_open_seat_a_client"),
        )
        indexes: ClassVar = [
            models.Index(fields=("client", "-id"), name="seat_of_client"),
            models.Index(fields=("round",), condition=Q(status__among=OPEN), name="open_seat_of_round"),
            models.Index(fields=("client",), condition=Q(counted_in__isnull=False), name="seat_counted_late"),
            models.Index(
                fields=("round",), condition=Q(file_status__among=KEPT, digest__filled=True), name="seat_with_file"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client} in {self.round}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def went_on(self) -> bool:
        """Whether its round closed while it stayed open, and its update was accepted after that."""
        return self.status == SeatStatus.LATE and not self.reason

    @property
    def is_accepted(self) -> bool:
        """Whether its client has done what it was asked for."""
        return self.status in COUNTED or self.went_on

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
