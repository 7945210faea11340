"""The Celery application: the same tasks on the embedded worker and on workers behind a broker."""

import os
from typing import Any

from celery import Celery
from celery.signals import import_modules
from kombu.transport import TRANSPORT_ALIASES

from federation import private

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")
TRANSPORT_ALIASES["embedded"] = "flsite.embedded:Transport"

app = Celery("flsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@import_modules.connect
def _begin(**_: Any) -> None:
    """In a worker and in the beat, before either writes."""
    private.begin()
