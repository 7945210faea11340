"""How the clients of one process ask for work with fewer connections than there are clients."""

from __future__ import annotations

LONGEST_WAIT_SECONDS = 30.0  # as an agent's
LEAST_WAIT_SECONDS = 2.0  # a call has to be worth its cost
CYCLE_SECONDS = 8.0  # in which each client asks once: work is found at most so much later. A thousand calls cost 3 s
LOOK_AGAIN_SECONDS = 15.0  # at a piece of work that waits here: is it still wanted?
AT_THE_DOOR = 16  # clients that join or leave at a time


def wait_seconds(clients: int, connections: int) -> float:
    """How long each call for work may wait at the server, so that everybody's turn comes within a cycle.

    With a connection per client each waits as long as an agent does. With fewer, a client without one waits here.
    """
    if clients <= connections:
        return LONGEST_WAIT_SECONDS
    return max(LEAST_WAIT_SECONDS, min(LONGEST_WAIT_SECONDS, CYCLE_SECONDS * connections / clients))


def places(workers: int) -> int:
    """How many pieces of work may be under way: while some are computed, others are fetched and sent."""
    return 3 * workers + 2
