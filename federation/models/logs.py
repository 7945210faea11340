"""The numbered logs of the sessions and of the server."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from federation.models.sessions import TrainingSession


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
        ROUND_POSTPONED = "round.postponed"
        ROUND_FINISHED = "round.finished"
        EVALUATION_OPENED = "evaluation.opened"
        EVALUATION_COMPLETED = "evaluation.completed"
        EVALUATION_FAILED = "evaluation.failed"
        SEAT_INVITED = "seat.invited"
        SEAT_TRAINING = "seat.training"
        SEAT_DROPPED = "seat.dropped"
        SEAT_FAILED = "seat.failed"
        SEAT_SKIPPED = "seat.skipped"
        UPDATE_RECEIVED = "update.received"
        RESULT_RECEIVED = "result.received"
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
    beat = models.CharField(max_length=200, blank=True, default="", db_default="", help_text="Which beat leads.")
    beat_count = models.PositiveBigIntegerField(default=0, db_default=0, help_text="How often it said that it does.")
    prunes = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Hourly looks at old files.")
    deployment = models.CharField(
        max_length=32, blank=True, default="", db_default="", help_text="An id that is in the data folder, too."
    )
    key_fingerprint = models.CharField(
        max_length=32, blank=True, default="", db_default="", help_text="Of the secret key that all processes have."
    )
    storage_low_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when nothing is taken in, because the disk is full."
    )

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(pk=1), name="one_server_row"),)

    def __str__(self) -> str:
        return "this server"

    def is_ticking(self, now: datetime) -> bool:
        return self.ticked_at is not None and now - self.ticked_at < timedelta(seconds=10)
