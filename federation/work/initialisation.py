"""Send the weights of version 0, for a workload that the server does not have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from django.conf import settings

from federation import storage
from federation.fl import encodings
from federation.fl.files import uploaded
from federation.fl.files.updates import Update
from federation.fl.weights import WeightsError
from federation.lifecycle import WorkKind
from federation.models import Participation, Round, TrainingSession
from federation.work.declared import own
from federation.work.kind import Answer, Model, Unusable

GB = 10**9


class Initialisation:
    name: ClassVar[str] = WorkKind.INITIALISE.value
    title: ClassVar[str] = "Initialisation"
    is_told: ClassVar[bool] = True
    answer: ClassVar[Answer] = Answer.UPDATE

    def offer(self, seat: Participation) -> dict[str, object]:
        return {
            "encoding": encodings.PLAIN,
            "extra_tensors": [],
            "update_url": f"/api/v1/participations/{seat.pk}/update",
            "part_bytes": settings.FL_PART_BYTES,
            "max_put_bytes": settings.FL_MAX_PUT_BYTES,
        }

    def check(self, seat: Participation, sent: Path) -> Update:
        """Nothing is known of the model yet, so its tensors are looked at by themselves."""
        storage.require_room(sent.stat().st_size)
        with storage.scratch() as out, storage.refusing_when_full():
            try:
                uploaded.rewrite(sent, out)
            except WeightsError as error:
                raise Unusable(str(error)) from error
        return Update(storage.digest_of(sent), sent.stat().st_size, num_examples=0, metrics={})

    def conclude(self, round_: Round, answered: Iterable[Participation]) -> Model:
        return Model()


def most_bytes() -> int:
    """As many as a model may have."""
    return int(settings.FL_MAX_MODEL_GB) * GB


def is_needed(session: TrainingSession) -> bool:
    """Whether only a site can make version 0: the server has neither the workload nor a file."""
    return own(session) is None and session.initial_model_id is None
