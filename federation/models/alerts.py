"""What people want to be told, what was found, and how it reaches them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from federation.models.clients import Client
from federation.models.sessions import TrainingSession


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
