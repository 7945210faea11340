"""Why seats and rounds ended: a code with arguments, and the sentence that is made from it.

Rows and events keep all three. The code is for programs, the sentence for people: nothing may decide by a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.lifecycle import RoundReason, SeatReason
from federation.payloads import printable, storable

Args = Mapping[str, Any]
LONGEST = 500  # characters of a text from a client
LONGEST_QUOTED = 200  # of one that a round's reason quotes
MOST_NAMED = 3  # clients, in a round's reason
UPDATE, RESULT = "update", "result"  # what clients send
NO_REASON = "The client gave no reason."


@dataclass(frozen=True, slots=True)
class Reason:
    """A code with its arguments, which are JSON values."""

    code: SeatReason | RoundReason
    args: Args = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        return _SENTENCES[self.code](self.args)

    @property
    def fields(self) -> dict[str, Any]:
        """The columns of a seat or a round, and the members of an event's payload."""
        args = storable(dict(self.args))
        return {"reason": self.sentence, "reason_code": self.code.value, "reason_args": args}


NONE: Mapping[str, Any] = {"reason": "", "reason_code": "", "reason_args": None}  # the columns of a seat without one


# ---- seats

LEFT = Reason(SeatReason.LEFT)
DISABLED = Reason(SeatReason.DISABLED)
REMOVED = Reason(SeatReason.REMOVED)
DEADLINE = Reason(SeatReason.DEADLINE)
ROUND_CLOSED = Reason(SeatReason.ROUND_CLOSED)
ROUND_FAILED = Reason(SeatReason.ROUND_FAILED)
TIME_OVER = Reason(SeatReason.DEADLINE, {"of": "seat"})
SESSION_COMPLETED = Reason(SeatReason.SESSION_ENDED, {"status": "completed"})
SESSION_CANCELLED = Reason(SeatReason.SESSION_ENDED, {"status": "cancelled"})
DAMAGED = Reason(SeatReason.DAMAGED)


def client_failed(said: str) -> Reason:
    """The client gave its seat up, and said why."""
    return Reason(SeatReason.CLIENT_FAILED, {"said": said.strip()[:LONGEST] or NO_REASON})


def skipped(by: str) -> Reason:
    return Reason(SeatReason.SKIPPED, {"by": by})


def finished(by: str) -> Reason:
    """Somebody closed the round before this seat was done."""
    return Reason(SeatReason.ROUND_CLOSED, {"by": by})


def rejected(error: str) -> Reason:
    """The update was refused when it arrived."""
    return Reason(SeatReason.REJECTED, {"error": error[:LONGEST]})


def left_out(error: str) -> Reason:
    """The update was taken in, but would have spoilt the model."""
    return Reason(SeatReason.REJECTED, {"error": error, "left_out": True})


# ---- rounds


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a client sent no update that counts: it gave up (`client_failed`), or its update was refused (`rejected`)."""

    client: str
    code: SeatReason
    reason: str


CANCELLED = Reason(RoundReason.CANCELLED)


def quorum_missed(
    reported: int,
    needed: int,
    *,
    at_deadline: bool,
    withdrawn: Sequence[str] = (),
    troubles: Sequence[Trouble] = (),
    of: str = UPDATE,
) -> Reason:
    """withdrawn: clients whose updates do not count any more. troubles: of those that sent none that counts.

    of: what is counted, UPDATE or RESULT.
    """
    named = [
        {"client": one.client, "code": one.code.value, "reason": printable(one.reason, LONGEST_QUOTED)}
        for one in troubles[:MOST_NAMED]
    ]
    args: dict[str, Any] = {"reported": reported, "needed": needed, "withdrawn": list(withdrawn), "clients": named}
    args |= {} if of == UPDATE else {"of": of}
    code = RoundReason.QUORUM_AT_DEADLINE if at_deadline else RoundReason.QUORUM_NO_SEAT
    return Reason(code, args | {"more": max(0, len(troubles) - len(named))})


def not_finite(error: str, clients: Sequence[str] = ()) -> Reason:
    """The model would hold values that are not finite. clients: whose updates cause that, if it is known."""
    return Reason(RoundReason.NOT_FINITE, {"error": error, "clients": list(clients)})


def too_few_finite(error: str, clients: Sequence[str], *, left: int, needed: int) -> Reason:
    """The model would be finite without some clients, but then the quorum is missed."""
    return Reason(RoundReason.NOT_FINITE, {"error": error, "clients": list(clients), "left": left, "needed": needed})


def nothing_usable(measures: Sequence[str]) -> Reason:
    """No client has a finite number of any of these measures."""
    return not_finite(f"No client reported a usable number of {_named(measures)}.")


def misfit(error: str) -> Reason:
    """The updates cannot be combined with each other or with their base."""
    return Reason(RoundReason.MISFIT, {"error": error})


def internal(error: str) -> Reason:
    """A step of the server's own failed. error: a sentence."""
    return Reason(RoundReason.INTERNAL, {"error": error})


def killed(times: int) -> Reason:
    return Reason(RoundReason.INTERNAL, {"killed": times})


def model_lost(model: str, why: str) -> Reason:
    """model: 'v3'. why: a sentence."""
    return Reason(RoundReason.MODEL_LOST, {"model": model, "why": why})


# ---- sentences


def _plain(sentence: str) -> Callable[[Args], str]:
    return lambda args: sentence


def _deadline(args: Args) -> str:
    return "Its time was over." if args.get("of") == "seat" else "The round closed at its deadline, without it."


def _closed(args: Args) -> str:
    return f"The round was finished by {args['by']}." if "by" in args else "The round closed without it."


def _rejected(args: Args) -> str:
    return f"The update was left out: {args['error']}" if args.get("left_out") else str(args["error"])


def _ended(args: Args) -> str:
    return f"The session was {args['status']}."


def _quorum(when: str) -> Callable[[Args], str]:
    def sentence(args: Args) -> str:
        what = f"{args.get('of', UPDATE)}s"
        return f"{args['reported']} of {args['needed']} needed {what} had arrived {when}.{_who(args)}"

    return sentence


def _who(args: Args) -> str:
    """Sentences about the clients that sent nothing that counts."""
    said = [f" Not counted, because disabled or removed: {_named(args['withdrawn'])}."] if args["withdrawn"] else []
    said += [f" {_trouble(one)}: {one['reason'].rstrip('.')}." for one in args["clients"]]
    if args["more"]:
        said.append(f" {args['more']} more {'client' if args['more'] == 1 else 'clients'} failed.")
    return "".join(said)


def _trouble(one: Args) -> str:
    gave_up = one["code"] == SeatReason.CLIENT_FAILED
    return f"{one['client']} gave up" if gave_up else f"The update of {one['client']} was refused"


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _not_finite(args: Args) -> str:
    error, names = args["error"], ", ".join(args["clients"])
    if "left" in args:
        are = "update is" if args["left"] == 1 else "updates are"
        return f"{error} Without the update of {names}, {args['left']} {are} left, and {args['needed']} are needed."
    return f"{error} The update of {names} causes that." if names else str(error)


def _internal(args: Args) -> str:
    if "killed" in args:
        return f"The worker was killed {args['killed']} times while it aggregated the updates."
    return str(args["error"])


def _lost(args: Args) -> str:
    return f"The file of model {args['model']} is damaged and cannot be made again. {args['why']}"


_SENTENCES: Mapping[SeatReason | RoundReason, Callable[[Args], str]] = {
    SeatReason.CLIENT_FAILED: lambda args: str(args["said"]),
    SeatReason.LEFT: _plain("The client left."),
    SeatReason.DISABLED: _plain("The client was disabled."),
    SeatReason.REMOVED: _plain("The client was removed."),
    SeatReason.DEADLINE: _deadline,
    SeatReason.SKIPPED: lambda args: f"Skipped by {args['by']}.",
    SeatReason.ROUND_CLOSED: _closed,
    SeatReason.ROUND_FAILED: _plain("The round failed."),
    SeatReason.SESSION_ENDED: _ended,
    SeatReason.REJECTED: _rejected,
    SeatReason.DAMAGED: _plain("Its update was damaged on the server's disk, and the client could not be asked again."),
    RoundReason.QUORUM_AT_DEADLINE: _quorum("at the deadline"),
    RoundReason.QUORUM_NO_SEAT: _quorum("when no seat was open any more"),
    RoundReason.NOT_FINITE: _not_finite,
    RoundReason.MISFIT: lambda args: str(args["error"]),
    RoundReason.INTERNAL: _internal,
    RoundReason.MODEL_LOST: _lost,
    RoundReason.CANCELLED: _plain("The session was cancelled."),
}
