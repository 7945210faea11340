"""What client agents send and get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
)

from federation.api.schemas.common import Measure, Sentences, Storable, Strict, in_utc
from federation.models import Phase
from federation.services import info as infos

MAX_POINTS = 10_000  # in one progress call
MAX_SECONDS = 31_536_000  # of one phase
MAX_MEASURES, MAX_COUNTS = 1_000, 100  # names in one result


Info = Annotated[dict[str, Any], Storable]


class Enrolment(Strict):
    join_code: Annotated[str, StringConstraints(max_length=64)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
    info: Info = {}
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
    time: Annotated[datetime, AfterValidator(in_utc)] | None = None


Seconds = Annotated[FiniteFloat, Field(ge=0, le=MAX_SECONDS)]


class Timings(Plain):
    """How long each phase of this work took, by the client's clock."""

    downloading: Seconds | None = None
    training: Seconds | None = None
    evaluating: Seconds | None = None


class Progress(Plain):
    """timings: in the last call before the upload. sent_at: the client's time when it sends this call."""

    phase: Phase
    fraction: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    metrics: Annotated[list[MetricPoint], Field(max_length=MAX_POINTS)] = []
    timings: Timings | None = None
    sent_at: Annotated[datetime, AfterValidator(in_utc)] | None = None


class Result(Plain):
    """What a client measured. counts: integers, or lists of them; they add up over clients."""

    num_examples: Annotated[int, Field(strict=True, ge=1, le=infos.MOST_COUNT)]
    metrics: Annotated[dict[Measure, FiniteFloat | None], Field(max_length=MAX_MEASURES)]
    counts: Annotated[dict[Measure, Any], Storable, Field(max_length=MAX_COUNTS)] = {}


class Failure(Strict):
    reason: Annotated[str, StringConstraints(max_length=2000), Storable, Sentences] = ""


class LogLine(Strict):
    time: Annotated[datetime, AfterValidator(in_utc)]
    text: Annotated[str, StringConstraints(max_length=2000), Storable]


class LogLines(Strict):
    lines: Annotated[list[LogLine], Field(min_length=1, max_length=200)]


class Telling(Strict):
    info: Info


class Told(Schema):
    changed: list[dict[str, Any]]
