"""The Celery application: the same tasks on the embedded worker and on workers behind a broker."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_after_setup, import_modules
from kombu.transport import TRANSPORT_ALIASES

from federation import private
from flsite import files

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")
TRANSPORT_ALIASES["embedded"] = "flsite.embedded:Transport"

app = Celery("flsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery would close a worker's connection around each task. To open one takes longer than the task's queries.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize
app.autodiscover_tasks()


@import_modules.connect
def _begin(**_: Any) -> None:
    """In a worker and in the beat, before either writes."""
    private.begin()
    files.allow_enough()


@celeryd_after_setup.connect
@beat_init.connect
def _require_what_is_shared(**_: Any) -> None:
    """End a worker or a beat with a sentence whose database has no tables yet, or whose folder or key is another."""
    from django.db import connections  # once Django is set up

    from federation import database
    from flsite import first_start

    database.wait("the worker")
    sentence = first_start.fault() or first_start.unshared("the worker")
    connections.close_all()  # the processes that work make their own
    if sentence:
        sys.stderr.write(f"{sentence}\n")
        sys.exit(1)
