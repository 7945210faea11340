"""Kinds of values and members that many calls share."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar

from django.db.models import TextChoices
from ninja import Schema
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from federation import parsing

T = TypeVar("T")


def _storable(value: T) -> T:
    """Refuse what our parser reads as JSON and a database cannot hold."""
    rest: list[Any] = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            rest += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            rest += item
        elif isinstance(item, float) and not math.isfinite(item):
            raise PydanticCustomError("not_finite", "A number must be finite; write null for one that is not")
        elif isinstance(item, str) and ("\0" in item or not _is_unicode(item)):
            raise PydanticCustomError("not_text", "Text must not hold NUL or half a surrogate pair")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_utc(time: datetime) -> datetime:
    """What does not say its time zone is UTC."""
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise PydanticCustomError("far_time", "In UTC this is before the year 1 or after 9999") from None


@lru_cache(4096)  # a client sends the same few names with every call
def _measure(name: str) -> str:
    found = parsing.label(name, longest=MEASURE_LENGTH)
    if found is None:
        raise PydanticCustomError(
            "name", f"A name must be 1 to {MEASURE_LENGTH} printable characters, without direction marks"
        )
    return found


Storable = AfterValidator(_storable)


Sentences = AfterValidator(parsing.shown)  # a client's own: pages show them among ours


MEASURE_LENGTH = 64


Measure = Annotated[str, AfterValidator(_measure)]


Id = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class Empty(Schema):
    pass


def _whole_number(value: Any) -> Any:
    """Refuse values that pydantic would convert to a number."""
    if isinstance(value, bool | str):
        raise PydanticCustomError("whole", "Write a whole number")
    return value


def within(limits: tuple[int, int]) -> Any:
    """Limits for the document. The service checks them and refuses with a sentence of its own."""
    low, high = limits
    return Field(json_schema_extra={"minimum": low, "maximum": high})


def one_of(kind: type[TextChoices]) -> Any:
    return Field(json_schema_extra={"enum": list(kind.values)})


Whole = Annotated[int, BeforeValidator(_whole_number)]


Word = Annotated[str, StringConstraints(max_length=24), Storable]


Tags = list[Annotated[str, StringConstraints(max_length=64), Storable]]
Globs = list[Annotated[str, StringConstraints(max_length=200), Storable]]


class Page(Schema, Generic[T]):
    """Oldest first. `next` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None


class Paging(Schema):
    """`after` is the last page's `next`, exclusive."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
