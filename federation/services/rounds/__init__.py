"""Rounds: opened, collected, aggregated, published, steered. `advance` makes the one move that is due."""

from federation.services.rounds.advancing import advance, may_move, open_next
from federation.services.rounds.aggregating import LEASE, Lease, LeaseLost, aggregate, claim, free_leases, reopen
from federation.services.rounds.candidates import LeftOut, Pool, Told, Why, pool, who_lists, why_not
from federation.services.rounds.closing import cancel_active, close, collect, fail, give_up
from federation.services.rounds.drawing import who_gave_up
from federation.services.rounds.initialising import who_can_begin
from federation.services.rounds.moves import move
from federation.services.rounds.opening import Turn, next_try, ready, rests, turns
from federation.services.rounds.publishing import federated_metrics, publish
from federation.services.rounds.steering import MAX_EXTENSION_SECONDS, extend, finish, not_yet, skip
from federation.services.rounds.stopping import awaited
from federation.services.rounds.tallying import of as tally
from federation.services.rounds.tallying import schedule_of
from federation.services.rounds.withdrawing import withdraw

__all__ = [
    "LEASE",
    "MAX_EXTENSION_SECONDS",
    "Lease",
    "LeaseLost",
    "LeftOut",
    "Pool",
    "Told",
    "Turn",
    "Why",
    "advance",
    "aggregate",
    "awaited",
    "cancel_active",
    "claim",
    "close",
    "collect",
    "extend",
    "fail",
    "federated_metrics",
    "finish",
    "free_leases",
    "give_up",
    "may_move",
    "move",
    "next_try",
    "not_yet",
    "open_next",
    "pool",
    "publish",
    "reopen",
    "ready",
    "rests",
    "schedule_of",
    "skip",
    "tally",
    "turns",
    "who_can_begin",
    "who_gave_up",
    "who_lists",
    "why_not",
    "withdraw",
]
