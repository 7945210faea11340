"""What a page shows is of one moment, however many queries it makes."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dashboard.kit.signin import View
from federation import database

READS = ("GET", "HEAD")


def of_one_moment(view: View) -> View:
    """Let a view read from one snapshot of the database, so that no session is both running and failed on its page.

    Views that act read what is there at each step, as always.
    """

    @wraps(view)
    def reading(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method not in READS:
            return view(request, *args, **kwargs)
        with database.snapshot():
            return view(request, *args, **kwargs)

    return reading
