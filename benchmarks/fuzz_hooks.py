"""Tells schemathesis how to write the parts of an upload, and to hold no poll, for fuzz.py."""

from typing import Any

import schemathesis

from federation import parsing

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A poll with a wait that is allowed, or none, would be held for up to a minute each time."""
    if case.operation.path.endswith("/work"):
        query = dict(case.query or {})
        wait = parsing.decimal(str(query.get("wait", "30")))
        if wait is not None and 0 <= wait <= 60:
            case.query = query | {"wait": "0"}
