"""Train from the round's base model, and send the difference as an update."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from federation import storage
from federation.fl import encodings, staying, strategies, weights
from federation.fl.files import updates as wire
from federation.fl.weights import FLOATS, WeightsError
from federation.lifecycle import WorkKind
from federation.models import Client, GlobalModel, Participation, Round, TrainingSession
from federation.work.common_members import last_update, stays
from federation.work.kind import Answer, Model, Unusable

BUFFERS = "buffers"  # among what a client tells that it understands


class BaseUnreadable(Exception):
    """The file of the round's base model is damaged or missing."""


class SlotsUnreadable(Exception):
    """The file of what the strategy keeps with the round's base model is missing. str(error): its digest."""


class Training:
    name: ClassVar[str] = WorkKind.TRAIN.value
    title: ClassVar[str] = "Training"
    is_told: ClassVar[bool] = False
    answer: ClassVar[Answer] = Answer.UPDATE

    def offer(self, seat: Participation) -> dict[str, object]:
        return _encoding_offered(seat.round.session, seat.client, seat.round.base) | {
            "update_url": f"/api/v1/participations/{seat.pk}/update",
            "part_bytes": settings.FL_PART_BYTES,
            "max_put_bytes": settings.FL_MAX_PUT_BYTES,
            "extra_tensors": [],
            "last_update": last_update(seat),
            **stays(seat),
            **_slots(seat.round.session, seat.round.base),
        }

    def check(self, seat: Participation, sent: Path) -> wire.Update:
        """Raises Unusable, or BaseUnreadable while the base's file is made again."""
        base = seat.round.base
        session = seat.round.session
        header = staying.travelling(_header(base), session.unsent)
        with storage.local(base.digest) as model:
            try:
                return wire.check(
                    sent,
                    base=header,
                    base_digest=base.digest,
                    encoding=encoding_of(seat),
                    buffers=[name for name in session.buffers or () if name not in session.unsent],
                    model=model,
                    sender=seat.client.name,
                    needs=strategies.STRATEGIES[seat.round.session.strategy].needs,
                    seal=storage.seals.begin(sent),
                )
            except wire.UpdateError as error:
                raise Unusable(_said(str(error), session)) from error

    def conclude(self, round_: Round, answered: Iterable[Participation]) -> Model:
        return Model()


def _said(refusal: str, session: TrainingSession) -> str:
    """With the tensors that an update must not have."""
    for names, what in ((session.staying_tensors, "stay at the site"), (session.frozen_tensors, "are frozen")):
        if names:
            refusal += f" These {what}: {staying.listed(sorted(names))}."
    return refusal


def encoding_of(seat: Participation) -> encodings.Encoding:
    """How the update of a seat may be encoded."""
    session = seat.round.session
    return encodings.build(session.compression, session.compression_options)


def _header(base: GlobalModel) -> weights.Header:
    try:
        with storage.local(base.digest) as file:
            return weights.read_header(file)
    except (OSError, WeightsError) as error:
        raise BaseUnreadable from error


def _slots(session: TrainingSession, base: GlobalModel) -> dict[str, Any]:
    """Where the file is of what the strategy sends to clients beside the model. There is none in the first round.

    Raises SlotsUnreadable.
    """
    if not strategies.STRATEGIES[session.strategy].sends or not base.slots_digest:
        return {}
    try:
        with storage.local(base.slots_digest) as file:
            num_bytes = file.stat().st_size
    except OSError as error:
        raise SlotsUnreadable(base.slots_digest) from error
    return {
        "slots": {"digest": base.slots_digest, "num_bytes": num_bytes, "url": f"/api/v1/models/{base.slots_digest}"}
    }


def _encoding_offered(session: TrainingSession, client: Client, base: GlobalModel) -> dict[str, Any]:
    """How an update may be encoded; it may always be plain."""
    if session.compression == encodings.NONE.name or _would_spoil(session, client, base):
        return {"encoding": encodings.PLAIN}
    return {"encoding": session.compression, "encoding_options": session.compression_options}


def _would_spoil(session: TrainingSession, client: Client, base: GlobalModel) -> bool:
    """Whether the client, which does not know what a buffer is, would encode one."""
    return bool(session.buffers) and BUFFERS not in client.understands and _has_float_buffers(session, base)


def _has_float_buffers(session: TrainingSession, base: GlobalModel) -> bool:
    """Whether an encoding could round one of the session's buffers. True if the model's file cannot be read now."""
    try:
        return not _floats(base.digest).isdisjoint(session.buffers or ())
    except (OSError, WeightsError):
        return True


@lru_cache(maxsize=16)  # asked for each seat of a round; a digest's tensors never change
def _floats(digest: str) -> frozenset[str]:
    with storage.local(digest) as file:
        return frozenset(name for name, each in weights.read_header(file).tensors.items() if each.dtype in FLOATS)
