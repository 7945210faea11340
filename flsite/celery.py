"""The Celery application: the same tasks on the embedded worker and on workers behind a broker."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")
TRANSPORT_ALIASES["embedded"] = "flsite.embedded:Transport"

app = Celery("flsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
