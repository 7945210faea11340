"""The nursery: a process without threads that has torch and the data in memory, and forks workers that share them.

    python -m clientagent.crowd.nursery FD

It ends, and its workers with it, when the other end of the socket FD is closed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from multiprocessing.connection import Connection

from clientagent import policy, site_workloads
from clientagent.crowd import worker
from clientagent.crowd.parts import Parts
from clientagent.crowd.wire import Beginning, Forget, Fork, Load, Loaded, outlive_nobody
from clientagent.device import Device, set_up_torch
from clientagent.identity import folder_of
from federation.fl import workloads
from federation.fl.workloads import foreign


def main(descriptor: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    door = socket.socket(fileno=descriptor)
    line = Connection(os.dup(descriptor))
    beginning: Beginning = line.recv()
    nursery = Nursery(beginning, door, line)
    try:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                nursery.answer(line.recv())
    finally:
        nursery.end()


class Nursery:
    def __init__(self, beginning: Beginning, door: socket.socket, line: Connection) -> None:
        self._settings = beginning.settings
        kept = policy.read(folder_of(self._settings), workloads.WORKLOADS.built_in)
        # What is left out was said by the process that started this one.
        site_workloads.load(self._settings.workloads, lambda sentence: None, kept.lets_run)
        self._parts = Parts(beginning.settings, beginning.clients)
        self._door, self._line = door, line
        self._workers: set[int] = set()

    def answer(self, message: Load | Forget | Fork) -> None:
        self._bury()
        match message:
            case Load():
                self._line.send(self._load(message))
            case Forget():
                self._parts.forget()
            case Fork():
                self._line.send(self._fork())

    def end(self) -> None:
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _load(self, message: Load) -> Loaded:
        try:
            workload = workloads.get(message.workload)
            if workload.needs_torch:
                set_up_torch(1)  # one thread: a fork of several may wait for one that is not there
            self._parts.load(workload, message.options)
        except Exception as error:  # the worker that needs the data says what is wrong with them
            return Loaded(foreign.fault(error))
        return Loaded()

    def _fork(self) -> int:
        _, (descriptor, *_), _, _ = socket.recv_fds(self._door, 1, 1)
        gc.collect()
        gc.freeze()  # or the collector would write to pages that are shared
        pid = os.fork()
        if not pid:
            self._be_a_worker(descriptor)
        os.close(descriptor)
        self._workers.add(pid)
        return pid

    def _be_a_worker(self, descriptor: int) -> None:
        try:
            outlive_nobody()
            self._door.close()
            self._line.close()
            worker.serve(Connection(descriptor), self._parts, Device(self._settings.device, self._settings.threads))
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(0)

    def _bury(self) -> None:
        for pid in [*self._workers]:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self._workers.discard(pid)


if __name__ == "__main__":
    main(int(sys.argv[1]))
