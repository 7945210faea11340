"""What goes over the wire as JSON. Requests refuse members they don't know."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar

from django.db.models import TextChoices
from ninja import Schema
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from federation import parsing, session_settings
from federation.fl.defences import Defence
from federation.lifecycle import LatePolicy, RoundFailure
from federation.models import Phase
from federation.services import rounds
from federation.services.clients import invitations

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


def _in_utc(time: datetime) -> datetime:
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
MAX_POINTS = 10_000  # in one progress call


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


# ---- agents


class Enrolment(Strict):
    join_code: Annotated[str, StringConstraints(max_length=64)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
    info: Annotated[dict[str, Any], Storable] = {}
    token: str | None = None


class Enrolled(Schema):
    client_id: str
    name: str
    token: str


class Plain(BaseModel):
    """As `Strict`, for what comes thousands of times a round: ninja looks at each member of its own in Python."""

    model_config = ConfigDict(extra="forbid")


class MetricPoint(Plain):
    name: Measure
    step: Annotated[int, Field(ge=0, lt=2**63)]
    value: FiniteFloat | None
    time: Annotated[datetime, AfterValidator(_in_utc)] | None = None


class Progress(Plain):
    phase: Phase
    fraction: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    metrics: Annotated[list[MetricPoint], Field(max_length=MAX_POINTS)] = []


class Failure(Strict):
    reason: Annotated[str, StringConstraints(max_length=2000), Storable, Sentences] = ""


class LogLine(Strict):
    time: Annotated[datetime, AfterValidator(_in_utc)]
    text: Annotated[str, StringConstraints(max_length=2000), Storable]


class LogLines(Strict):
    lines: Annotated[list[LogLine], Field(min_length=1, max_length=200)]


class Telling(Strict):
    info: Annotated[dict[str, Any], Storable]


class Told(Schema):
    changed: list[dict[str, Any]]


class Empty(Schema):
    pass


# ---- operators


def _whole_number(value: Any) -> Any:
    """Refuse values that pydantic would convert to a number."""
    if isinstance(value, bool | str):
        raise PydanticCustomError("whole", "Write a whole number")
    return value


def _within(limits: tuple[int, int]) -> Any:
    """Limits for the document. The service checks them and refuses with a sentence of its own."""
    low, high = limits
    return Field(json_schema_extra={"minimum": low, "maximum": high})


def _one_of(kind: type[TextChoices]) -> Any:
    return Field(json_schema_extra={"enum": list(kind.values)})


Whole = Annotated[int, BeforeValidator(_whole_number)]
Word = Annotated[str, StringConstraints(max_length=24), Storable]
Expiry = Annotated[Whole, _within((1, invitations.MAX_SECONDS))]
Seconds = Annotated[Whole, _within(session_settings.LIMITS["round_seconds"])]
Tags = list[Annotated[str, StringConstraints(max_length=64), Storable]]
Options = dict[str, Any]


class Choice(Strict):
    """A workload, a strategy or a compression with its options."""

    name: Annotated[str, StringConstraints(max_length=64)]
    options: Options = {}


def _number_or_auto(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        raise PydanticCustomError("seconds", 'Write a whole number of seconds, or "auto" to have it learnt') from None


RoundSeconds = Annotated[Seconds | Literal["auto"], WrapValidator(_number_or_auto)]


class StartFrom(Strict):
    session: Id
    version: Annotated[Whole, Field(ge=0, lt=2**31)]


class NewSession(Strict):
    name: Annotated[str, StringConstraints(max_length=100), Storable]
    workload: Choice
    rounds: Annotated[Whole, _within(session_settings.LIMITS["rounds"])] = 10
    strategy: Choice = Choice(name="fedavg")
    compression: Choice = Choice(name="none")
    cohort_size: Annotated[Whole, _within(session_settings.LIMITS["cohort_size"])] | None = None
    client_tags: Tags = []
    quorum: Annotated[Whole, _within(session_settings.LIMITS["quorum"])] = 1
    round_seconds: RoundSeconds = 600
    max_retries: Annotated[Whole, _within(session_settings.LIMITS["max_retries"])] = 2
    on_round_failure: Annotated[Word, _one_of(RoundFailure)] = "retry"
    late_policy: Annotated[Word, _one_of(LatePolicy)] = "drop"
    defences: Annotated[list[Defence], Field(max_length=len(Defence))] = list(Defence)
    train: Options = {}
    seed: Annotated[Whole, _within(session_settings.LIMITS["seed"])] = 1
    start_from: StartFrom | None = None
    start: StrictBool = True


class Extension(Strict):
    seconds: Annotated[Whole, _within((1, rounds.MAX_EXTENSION_SECONDS))]


class Skip(Strict):
    participation: Id


class NewInvitation(Strict):
    uses: Annotated[Whole, _within((1, invitations.MAX_USES))] = 1
    expires_in_seconds: Expiry | None = 7 * 86_400


class Reissue(Strict):
    expires_in_seconds: Expiry | None = 86_400


class Invited(Schema):
    id: str
    join_code: str
    uses: int
    expires_at: datetime | None


class ClientChange(Strict):
    """What is left out stays as it is; one member is needed."""

    enabled: StrictBool | None = None
    tags: Tags | None = None

    @model_validator(mode="after")
    def _something(self) -> ClientChange:
        if self.enabled is None and self.tags is None:
            raise PydanticCustomError("nothing", "Say what to change: enabled or tags")
        return self


class OpenRound(Schema):
    number: int
    attempt: int
    status: str
    deadline: datetime


class ModelReference(Schema):
    version: int
    digest: str


class Waiting(Schema):
    reason: str
    detail: str


class SessionOut(Schema):
    id: str
    name: str
    status: str
    reason: str
    rounds: int
    completed_rounds: int
    round: OpenRound | None
    workload: dict[str, Any]
    strategy: dict[str, Any]
    compression: dict[str, Any]
    train: dict[str, Any]
    cohort_size: int | None
    client_tags: list[str]
    quorum: int
    round_seconds: int
    auto_deadline: bool
    max_retries: int
    on_round_failure: str
    late_policy: str
    defences: list[str]
    seed: int
    last_seq: int
    model: ModelReference | None
    waiting: list[Waiting]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class ClientReference(Schema):
    id: str
    name: str


class SeatOut(Schema):
    id: str
    client: ClientReference
    status: str
    reason: str
    num_examples: int | None
    counted_examples: int | None
    flags: list[dict[str, Any]]
    digest: str | None
    counted_in: int | None
    phase: str
    fraction: float
    taken_at: datetime | None
    reported_at: datetime | None


class RoundOut(Schema):
    number: int
    attempt: int
    status: str
    reason: str
    opened_at: datetime
    closed_at: datetime | None
    participations: list[SeatOut]


class ModelOut(Schema):
    version: int
    digest: str
    num_bytes: int
    parent: str | None
    round: int | None
    metrics: dict[str, float]
    federated_metrics: dict[str, float]


class EventOut(Schema):
    seq: int
    kind: str
    time: datetime
    payload: dict[str, Any]


class MetricOut(Schema):
    client: ClientReference
    round: int
    attempt: int
    name: str
    step: int
    value: float | None
    time: datetime


class ClientOut(Schema):
    id: str
    name: str
    online: bool
    last_seen: datetime | None
    enabled: bool
    num_examples: int | None
    tags: list[str]


class Page(Schema, Generic[T]):
    """Oldest first. `next` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None


class Paging(Schema):
    """`after` is the last page's `next`, exclusive."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0


class MetricPaging(Paging):
    format: Literal["json", "csv"] = "json"
