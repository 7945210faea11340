"""How a piece of work stands for one of the processes that do it together."""

from __future__ import annotations

from enum import IntEnum


class Standing(IntEnum):
    """What a process says before a step. The largest word of all processes counts."""

    GOES_ON = 0
    EXHAUSTED = 1  # its loader has no further batch
    DROPPED = 2
    LEAVES = 3
