"""Tells schemathesis how to write the parts of an upload, and to hold no poll, for fuzz.py."""

from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

from federation import parsing

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A poll with a wait that is allowed, or none, would be held for up to a minute each time.

    A case that is meant to be refused gets a wait that is: what makes it invalid may be a parameter that nobody knows,
    and every route ignores those.
    """
    if case.operation.path.endswith("/work"):
        query = dict(case.query or {})
        wait = parsing.decimal(str(query.get("wait", "30")))
        if wait is not None and 0 <= wait <= 60:
            wrong = case.meta is not None and case.meta.generation.mode == GenerationMode.NEGATIVE
            case.query = query | {"wait": "-1" if wrong else "0"}
