"""What operators send and get."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ninja import Schema
from pydantic import StrictBool, model_validator
from pydantic_core import PydanticCustomError

from federation.api.schemas import settings
from federation.api.schemas.common import Id, Paging, Strict, Tags, Whole, within
from federation.services import rounds
from federation.services.clients import invitations

Expiry = Annotated[Whole, within((1, invitations.MAX_SECONDS))]
if TYPE_CHECKING:

    class Settings(Strict): ...

    class ShownSettings(Schema): ...

else:
    Settings, ShownSettings = settings.taken(), settings.shown()


class NewSession(Settings):  # without a docstring, which the document would show
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


class SessionOut(ShownSettings):
    id: str
    status: str
    reason: str
    completed_rounds: int
    round: OpenRound | None
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
    reason_code: str | None
    reason_args: dict[str, Any]
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
    reason_code: str | None
    reason_args: dict[str, Any]
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
    evaluation_error: str | None


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
