"""A client's seat in a round: offered, followed while it works, and settled by its update.

Every write to a seat is here, but for what its round's model does to it.
"""

from federation.services.seats.ending import ask_again, drop, drop_open, expire, fail, skip
from federation.services.seats.offering import FRESH, invite, invite_for, of, offer
from federation.services.seats.payload import describe

__all__ = [
    "FRESH",
    "ask_again",
    "describe",
    "drop",
    "drop_open",
    "expire",
    "fail",
    "invite",
    "invite_for",
    "of",
    "offer",
    "skip",
]
