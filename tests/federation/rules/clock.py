"""The instant at which these tests happen."""

from datetime import timedelta

from django.utils import timezone

NOW = timezone.now()


def later(seconds: float):
    return NOW + timedelta(seconds=seconds)
