"""The processes of one training, as torchrun starts them: the one with rank 0 talks to the server, the others follow.

They agree over a group of their own, whose waiting has no limit: work may take hours to come. It runs on the CPU and
does not disturb the script's own calls to torch.distributed. Nothing here imports torch unless the script did.

A line from each process to rank 0 tells how it ended: one that ends by itself says why, one that was killed says
nothing. So rank 0 keeps its seat after a kill, whatever torch.distributed raises then.
"""

from __future__ import annotations

import contextlib
import os
import pickle  # nosec B403  what one process of the training says to another
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from clientagent.errors import Ends

Result = TypeVar("Result")

NO_LIMIT = timedelta(days=3650)
BLOCK_BYTES = 16 << 20  # of a model's file that travels at a time
FAREWELL_SECONDS = 1.0  # in which another process's end is heard of, once something went wrong
LONGEST_FAREWELL = 4000


class Parted(Ends):
    """The processes of this training cannot continue together. Another start of all of them can."""

    status = 1


@dataclass(frozen=True, slots=True)
class Came:
    """What each process gets of a piece of work. path: the model's file. state: what the site kept before."""

    session: str
    session_id: str
    round: int
    version: int
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    path: Path
    state: Any


@dataclass(frozen=True, slots=True)
class End:
    """There is no more work. status: with which the program is to end; None: it continues after its loop."""

    status: int | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """What a call of the process with rank 0 raised, instead of returning."""

    error: BaseException


class Ranks:
    """How the processes of a training go together: here, a training of one process.

    Each process makes the same calls in the same order; `lead` and `hand` are for rank 0, `follow` and `receive` for
    the others.
    """

    rank, size = 0, 1
    why = ""  # another process ended, in its own words

    def most(self, number: int) -> int:
        """The largest of the numbers that the processes give."""
        return number

    def lead(self, call: Callable[[], Result]) -> Result:
        """Make a call whose end is for all: the others get what it returns or raises."""
        return call()

    def follow(self) -> Any:
        """What the call of rank 0 returned. Raises what it raised."""
        raise AssertionError("A process that is alone has rank 0.")

    def hand(self, came: Came) -> None:
        """Give a piece of work to the others."""

    def end(self, status: int | None = None) -> None:
        """Say that there is no more work."""

    def lost_one(self, within: float = 0.0) -> bool:
        """At rank 0: whether another process was killed. within: how many seconds to wait for the end of one."""
        return False

    def receive(self) -> Came | End:
        """The next piece of work."""
        raise AssertionError("A process that is alone has rank 0.")

    def farewell(self, why: str = "") -> None:
        """Let rank 0 know that this process ends, and why if something went wrong."""


ALONE = Ranks()


class Several(Ranks):
    """The processes of an initialised torch.distributed. Each of them makes its own at the same place."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._group = dist.new_group(backend="gloo", timeout=NO_LIMIT)
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self._has_lost_one = False
        self._lines = self._listen() if self.rank == 0 else [self._call()]

    def most(self, number: int) -> int:
        import torch
        import torch.distributed as dist

        numbers = torch.tensor([number])
        dist.all_reduce(numbers, op=dist.ReduceOp.MAX, group=self._group)
        return int(numbers)

    def lead(self, call: Callable[[], Result]) -> Result:
        try:
            result = call()
        except BaseException as error:
            self._say(Raised(_fit_to_send(error)))
            raise
        self._say(result)
        return result

    def follow(self) -> Any:
        import torch.distributed as dist

        box: list[Any] = [None]
        dist.broadcast_object_list(box, src=0, group=self._group)
        if isinstance(box[0], Raised):
            raise box[0].error
        return box[0]

    def hand(self, came: Came) -> None:
        try:
            self._say(came)
            self._pass_on(came.path)
        except RuntimeError as error:
            raise Parted(f"The processes of this training lost each other ({error}).") from error

    def end(self, status: int | None = None) -> None:
        with contextlib.suppress(RuntimeError):  # they ended before
            self._say(End(status))

    def receive(self) -> Came | End:
        try:
            came: Came | End = self.follow()
            return came if isinstance(came, End) else replace(came, path=self._pass_on(came.path))
        except RuntimeError as error:
            raise Parted(f"The process with rank 0 ended ({error}).") from error

    def _say(self, what: object) -> None:
        import torch.distributed as dist

        dist.broadcast_object_list([what], src=0, group=self._group)

    # ---- how the others end

    def _listen(self) -> list[Connection[bytes, bytes]]:
        """At rank 0: a line from each of the others, who know where it waits and a secret."""
        hosts = self._hosts()
        host = "127.0.0.1" if len(set(hosts)) == 1 else os.environ.get("MASTER_ADDR", hosts[0])
        secret = secrets.token_bytes(32)
        with Listener(("127.0.0.1" if host == "127.0.0.1" else "", 0), authkey=secret) as listener:
            self._say((host, listener.address[1], secret))
            return [listener.accept() for _ in range(self.size - 1)]

    def _call(self) -> Connection[bytes, bytes]:
        self._hosts()
        host, port, secret = self.follow()
        return Client((host, port), authkey=secret)

    def _hosts(self) -> list[str]:
        import torch.distributed as dist

        hosts: list[Any] = [None] * self.size
        dist.all_gather_object(hosts, socket.gethostname(), group=self._group)
        return hosts

    def lost_one(self, within: float = 0.0) -> bool:
        for line in wait(self._lines, within):
            assert isinstance(line, Connection)
            self._lines.remove(line)
            try:
                self.why = self.why or line.recv_bytes().decode()
            except (EOFError, OSError):
                self._has_lost_one = True
        return self._has_lost_one

    def farewell(self, why: str = "") -> None:
        with contextlib.suppress(OSError):  # rank 0 ended before
            self._lines[0].send_bytes(why[:LONGEST_FAREWELL].encode())

    # ---- the model's file, which is named by its content

    def _pass_on(self, path: Path) -> Path:
        """Where this process finds the file: where rank 0 has it, or a copy if it is on another machine."""
        is_here = _is_here(path)
        if not self.most(0 if is_here else 1):
            return path
        if is_here:
            self._spread(path, None)
            return path
        self._copies = tempfile.TemporaryDirectory(prefix="clientagent-")  # the one before is removed
        copy = Path(self._copies.name) / path.name
        self._spread(path, copy)
        return copy

    def _spread(self, path: Path, copy: Path | None) -> None:
        """Rank 0 sends its file in blocks; the others write it to `copy`, if they need one."""
        import torch
        import torch.distributed as dist

        size = self.follow() if self.rank else self.lead(lambda: path.stat().st_size)
        with open(copy or os.devnull, "wb") as file:
            for start in range(0, size, BLOCK_BYTES):
                count = min(BLOCK_BYTES, size - start)
                block = (
                    np.fromfile(path, np.uint8, count, offset=start) if self.rank == 0 else np.empty(count, np.uint8)
                )
                dist.broadcast(torch.from_numpy(block), src=0, group=self._group)
                file.write(block.data)


def found() -> Ranks | None:
    """The processes of this training; None in one that is to follow but cannot, without torch.distributed."""
    if "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            return Several()
    return ALONE if os.environ.get("RANK", "0") == "0" else None


def _is_here(path: Path) -> bool:
    return path.exists()


def _fit_to_send(error: BaseException) -> BaseException:
    """The exception, or one of the same words if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # nosec B301
    except Exception:  # whatever its class does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
