"""What operators send and get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import (
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from federation import session_settings
from federation.api.schemas.common import Id, Paging, Storable, Strict, Whole, Word, one_of, within
from federation.fl.defences import Defence
from federation.lifecycle import LatePolicy, RoundFailure
from federation.services import rounds
from federation.services.clients import invitations

Expiry = Annotated[Whole, within((1, invitations.MAX_SECONDS))]


Seconds = Annotated[Whole, within(session_settings.LIMITS["round_seconds"])]


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
    rounds: Annotated[Whole, within(session_settings.LIMITS["rounds"])] = 10
    strategy: Choice = Choice(name="fedavg")
    compression: Choice = Choice(name="none")
    cohort_size: Annotated[Whole, within(session_settings.LIMITS["cohort_size"])] | None = None
    client_tags: Tags = []
    quorum: Annotated[Whole, within(session_settings.LIMITS["quorum"])] = 1
    round_seconds: RoundSeconds = 600
    max_retries: Annotated[Whole, within(session_settings.LIMITS["max_retries"])] = 2
    on_round_failure: Annotated[Word, one_of(RoundFailure)] = "retry"
    late_policy: Annotated[Word, one_of(LatePolicy)] = "drop"
    defences: Annotated[list[Defence], Field(max_length=len(Defence))] = list(Defence)
    train: Options = {}
    seed: Annotated[Whole, within(session_settings.LIMITS["seed"])] = 1
    start_from: StartFrom | None = None
    start: StrictBool = True


class Extension(Strict):
    seconds: Annotated[Whole, within((1, rounds.MAX_EXTENSION_SECONDS))]


class Skip(Strict):
    participation: Id


class NewInvitation(Strict):
    uses: Annotated[Whole, within((1, invitations.MAX_USES))] = 1
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


class MetricPaging(Paging):
    format: Literal["json", "csv"] = "json"
