"""What a client is asked to do, as `GET /work` answers it, and the answers of the other raw routes.

`federation.work` makes them; nothing is parsed with these models. They describe the answers in the OpenAPI document,
and the tests compare the two. Clients ignore members that they do not know, so a later version may add some.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from federation.fl import encodings
from federation.lifecycle import FileStatus

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
STATUSES = ["uploading", "converting", "refused", *FileStatus.values]
OFFERED = [encodings.PLAIN, *(name for name in encodings.ENCODINGS if name != encodings.NONE.name)]


class WorkSession(BaseModel):
    id: str
    name: str


class WorkWorkload(BaseModel):
    """digest: of what trains; the one that the client told, if that trains the same. version: may be empty."""

    name: str
    version: str
    digest: str
    options: dict[str, Any]


class WorkConfig(BaseModel):
    """The session's training settings. A strategy may add numbers of its own."""

    model_config = ConfigDict(extra="allow")

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Annotated[Seed, Field(description="Of this work alone: the same work has the same seed")]


class StoredModel(BaseModel):
    """A model. url: relative to the server's address; the client's token opens it."""

    version: Annotated[int, Field(ge=0)]
    digest: Annotated[Digest, Field(description="SHA-256 of the file")]
    num_bytes: Annotated[int, Field(ge=1)]
    url: str


class LastUpdate(BaseModel):
    participation: str
    digest: Digest


class SentSlots(BaseModel):
    """What the strategy keeps with the model and clients need: a file of float64 tensors, `<slot>/<tensor>`."""

    digest: Annotated[Digest, Field(description="SHA-256 of the file")]
    num_bytes: Annotated[int, Field(ge=1)]
    url: str


class AnyWork(BaseModel):
    """What work of each kind has."""

    participation: str
    session: WorkSession
    round: Annotated[int, Field(ge=0, description="The number within the kind of work")]
    attempt: Annotated[int, Field(ge=1)]
    workload: WorkWorkload
    config: WorkConfig
    buffers: Annotated[list[str], Field(description="The tensors that are statistics; they are never encoded")]
    deadline: Annotated[datetime, Field(description="When the round stops waiting, unless it is moved")]


class Trained(BaseModel):
    """Work for which a client may keep something of its own."""

    last_update: Annotated[LastUpdate | None, Field(description="The client's last update that counted in the session")]
    stays: Annotated[list[str], Field(description="Tensors that stay at the site. Missing where none do")] = []
    frozen: Annotated[list[str], Field(description="Tensors that are not trained. Missing where all are")] = []


class Sent(BaseModel):
    """Where a file of tensors goes. update_url: relative to the server's address."""

    encoding: Annotated[str, Field(json_schema_extra={"enum": OFFERED}, description="Plain float32 may always be sent")]
    extra_tensors: Annotated[list[dict[str, Any]], Field(description="Tensors to send beside the model's; none today")]
    update_url: str
    part_bytes: Annotated[int, Field(ge=1, description="The size of a part, for tus")]
    max_put_bytes: Annotated[int, Field(ge=0, description="The largest file that a PUT may carry")]


class TrainingWork(AnyWork, Sent, Trained):
    kind: Literal["train"]
    base_model: StoredModel
    encoding_options: dict[str, Any] = {}
    slots: Annotated[SentSlots | None, Field(description="Missing where the strategy sends nothing")] = None


class EvaluationWork(AnyWork, Trained):
    kind: Literal["evaluate"]
    base_model: StoredModel
    fine_tune: Annotated[
        WorkConfig | None, Field(description="How to train the own model before it is measured. Missing: not at all")
    ] = None


class InitialisationWork(AnyWork, Sent):
    kind: Literal["initialise"]
    base_model: None


class Work(RootModel[Annotated[TrainingWork | EvaluationWork | InitialisationWork, Field(discriminator="kind")]]):
    """`kind` decides what else there is. A later version may know further kinds, for clients that list them."""


class ProgressAnswer(BaseModel):
    continue_: Annotated[bool, Field(alias="continue", description="false: the work is not needed any more")]
    left_out: Annotated[int, Field(ge=0, description="Points of this call beyond a quota")] = 0


class ModelFile(BaseModel):
    """An uploaded model."""

    id: str
    name: str
    status: Annotated[str, Field(json_schema_extra={"enum": STATUSES})]
    digest: str | None
    num_bytes: int
    offset: int
    length: int | None
    buffers: list[str]
    error: str | None
