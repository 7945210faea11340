"""A database that answers later, as one far away does: a proxy on 127.0.0.1 before its Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.stack import free_port, until

PIECE = 1 << 18  # bytes
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@contextlib.contextmanager
def answering_later(target: Path, seconds: float) -> Iterator[int]:
    """The port of a proxy, a process of its own. What the target says goes on so many seconds after it was said."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port, target, seconds), daemon=True)
    process.start()
    try:
        until(lambda: _listens(port), why="the proxy of the database")
        yield port
    finally:
        process.kill()
        process.join()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _serve(port: int, target: Path, seconds: float) -> None:
    under_way = set()  # asyncio itself forgets a connection that its caller has left

    async def joined(caller: Reader, to_caller: Writer) -> None:
        under_way.add(task := asyncio.current_task())
        callee, to_callee = await asyncio.open_unix_connection(str(target))
        with contextlib.suppress(OSError):
            await asyncio.gather(_carry(caller, to_callee), _carry_later(callee, to_caller, seconds))
        for writer in (to_caller, to_callee):
            writer.close()
        under_way.discard(task)

    async def serve() -> None:
        async with await asyncio.start_server(joined, "127.0.0.1", port, backlog=1000) as server:
            await server.serve_forever()

    asyncio.run(serve())


async def _carry(source: Reader, target: Writer) -> None:
    """Until the source ends."""
    while data := await source.read(PIECE):
        target.write(data)
        await target.drain()
    target.write_eof()


async def _carry_later(source: Reader, target: Writer, seconds: float) -> None:
    """The same, later, without slowing what follows: the way is longer, not narrower."""
    loop = asyncio.get_running_loop()
    while data := await source.read(PIECE):
        loop.call_later(seconds, target.write, data)
    loop.call_later(seconds, target.write_eof)
    await asyncio.sleep(2 * seconds)
