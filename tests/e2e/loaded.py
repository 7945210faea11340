"""The server's own code, loaded before it is known with which settings it is to run.

Importing this module loads Django's applications and their addresses. `tests.e2e.warm` does so
once and forks from there. A process that was forked calls `settle` first: from then on, Django reads the settings that
the process's own environment says.
"""

import importlib
import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.urls import get_resolver
from django.utils.functional import empty

EVENT_LOOP = "daphne.server"  # makes one when it is imported, by an application; each process needs its own

os.environ["DJANGO_SETTINGS_MODULE"] = "flsite.settings"
sys.modules[EVENT_LOOP] = ModuleType(EVENT_LOOP)
django.setup()
del sys.modules[EVENT_LOOP]

import dashboard.consumers  # noqa: E402, F401
import federation.api.raw  # noqa: E402, F401
import flsite.embedded  # noqa: E402, F401
import flsite.urls  # noqa: E402, F401

get_resolver()._populate()

OURS = ("clientagent", "dashboard", "federation", "flsite")
PER_PROCESS = ("federation.killpoints", "federation.services.health")  # they look at the process when they are imported
REPLACED = {"DATABASES"}  # connections are made again; models only asked how long a name may be, and none is that long
ROOT = Path(__file__).resolve().parents[2]


def read() -> dict[str, Any]:
    """The settings that were read so far, with their values: Django keeps them by the side of all."""
    return {name: value for name, value in vars(settings).items() if name != "_wrapped" and name not in REPLACED}


READ = read()
assert threading.active_count() == 1, "a fork would lack these threads"
assert all(
    Path(module.__file__).is_relative_to(ROOT)
    for name, module in sys.modules.items()
    if name.partition(".")[0] in OURS and getattr(module, "__file__", None)
), "some of this is not the code of this folder"


def settle() -> bool:
    """Take the settings from the environment. False if they do not fit what is loaded: one that was read differs."""
    before = settings._wrapped
    settings._wrapped = empty
    sys.modules.pop("flsite.settings")
    try:
        for name in set(dir(before)) - set(dir(settings)):  # what other libraries added, as defaults
            setattr(settings, name, getattr(before, name))
        same = all(getattr(settings, name) == value for name, value in READ.items())
    except ImproperlyConfigured:
        return False
    vars(connections).clear()
    connections.__init__()
    for name in PER_PROCESS:
        importlib.reload(sys.modules[name])
    return same
