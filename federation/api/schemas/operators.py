"""What operators send and get."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ninja import Schema
from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    RootModel,
    StrictBool,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from federation.api.schemas import settings
from federation.api.schemas.common import Id, Paging, Storable, Strict, Tags, Whole, within
from federation.services import rounds
from federation.services.clients import invitations
from federation.session_settings import ROUND_SECONDS, SETTINGS
from federation.setting_kinds import limits
from federation.work import KINDS, Answer

Expiry = Annotated[Whole, within((1, invitations.MAX_SECONDS))]
if TYPE_CHECKING:

    class Settings(Strict): ...

    class ShownSettings(Schema): ...

else:
    Settings, ShownSettings = settings.taken(), settings.shown()


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


MEASURING = [name for name, kind in KINDS.items() if kind.answer == Answer.RESULT]


def _trains(kind: str) -> str:
    if kind != "train":
        raise PydanticCustomError("kind", f"Choose train or {' or '.join(MEASURING)}")
    return kind


class NewSession(Settings):
    """A session that trains. `initial_model` is the digest of an uploaded model to begin with."""

    kind: Annotated[str, AfterValidator(_trains), Field(json_schema_extra={"enum": ["train"]})] = "train"
    initial_model: Digest | None = None
    start: StrictBool = True


class NewEvaluation(Strict):
    """A session that has one stored model measured by sites. `initial_model` is the model's digest.

    Without `client_ids` every client is asked that is online and evaluates. Without a name it gets one.
    """

    kind: Annotated[str, Field(json_schema_extra={"enum": MEASURING})]
    initial_model: Digest
    client_ids: Annotated[list[Id], Field(max_length=10_000)] = []
    name: Annotated[str, StringConstraints(max_length=100), Storable] = ""
    round_seconds: Annotated[Whole, within(limits(SETTINGS["round_seconds"]))] = ROUND_SECONDS
    start: StrictBool = True


def _kind(given: Any) -> str:
    kind = given.get("kind") if isinstance(given, dict) else getattr(given, "kind", None)
    return "evaluation" if kind in MEASURING else "training"


class NewSessionOfAnyKind(
    RootModel[
        Annotated[
            Annotated[NewSession, Tag("training")] | Annotated[NewEvaluation, Tag("evaluation")],
            Discriminator(_kind),
        ]
    ]
):
    """What to train, or what to evaluate: `kind` decides."""


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
    kind: str
    initial_model: str | None
    client_ids: list[str]
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
    kind: str
    number: int
    attempt: int
    status: str
    outcome: str | None
    reason: str
    reason_code: str | None
    reason_args: dict[str, Any]
    opened_at: datetime
    closed_at: datetime | None
    metrics: dict[str, Any]
    errors: dict[str, Any]
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


class RoundPaging(Paging):
    """`kind` is the kind of work; without it, what the session is for."""

    kind: Annotated[str, StringConstraints(max_length=12), Storable] | None = None


class MetricPaging(Paging):
    format: Literal["json", "csv"] = "json"
