"""Clients, what lets them in, and the log that they send."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from federation.lifecycle import (
    OPEN,
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
        return self.exclude(seats__status__among=OPEN)


class Client(models.Model):
    """A party that trains beside its own data. Removing it keeps the row, for the rounds it took part in."""

    name = models.CharField(max_length=64)
    name_key = models.CharField(max_length=255, help_text="The name without regard to case; once among the enrolled.")
    token_hash = models.CharField(max_length=64, unique=True)
    old_token_hash = models.CharField(max_length=64, blank=True, default="", help_text="Of the token before this one.")
    enabled = models.BooleanField(default=True)
    ordinal = models.PositiveIntegerField(help_text="Order of enrolment; decides the client's colour everywhere.")
    info = models.JSONField(default=dict, blank=True)
    num_examples = models.BigIntegerField(null=True, blank=True)
    kinds = models.JSONField(default=list, blank=True, help_text="The kinds of work that its agent does.")
    understands = models.JSONField(default=list, blank=True, help_text="Additions to the contract that it knows.")
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
            models.UniqueConstraint(fields=("name_key",), condition=Q(removed_at=None), name="client_name_once"),
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


class ServedWorkload(models.Model):
    """A workload that a client told it has. A client that told none is taken to have every one."""

    client = models.ForeignKey(Client, models.CASCADE, related_name="workloads")
    name = models.CharField(max_length=64)
    version = models.CharField(max_length=64, blank=True, default="")
    digest = models.CharField(max_length=128, blank=True, default="", help_text="Of what would run there.")
    num_examples = models.BigIntegerField(null=True, blank=True)
    declaration = models.JSONField(null=True, blank=True, help_text="What the site says of it, if only sites have it.")
    shape = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="SHA-256 of the options, measures and training settings that it declares.",
    )

    class Meta:
        verbose_name = "served workload"
        ordering = ("client", "name")
        constraints = (models.UniqueConstraint(fields=("client", "name"), name="served_workload_once"),)
        indexes: ClassVar = [models.Index(fields=("name",), name="served_workload_name")]

    def __str__(self) -> str:
        return f"{self.name} of {self.client}"


class ClientLog(models.Model):
    """The tail of an agent's log, where the site chose to send it: [time, text] a line, the newest last."""

    client = models.OneToOneField(Client, models.CASCADE, related_name="log")
    lines = models.JSONField(default=list)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"log of {self.client}"
