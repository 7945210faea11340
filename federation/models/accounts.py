"""What lets people's scripts in, and who signed in."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone


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
