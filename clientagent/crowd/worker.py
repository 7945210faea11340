"""A worker: does one job after the other, each with the data of a client, until nobody listens any more."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from clientagent.crowd.parts import Parts
from clientagent.crowd.wire import Done, Order, Step, Steps, Stopped, Undone
from clientagent.device import Device
from clientagent.errors import Failed
from clientagent.hands import Bench
from federation.fl import workloads
from federation.fl.options import OptionError
from federation.fl.partition import PartitionError
from federation.fl.weights import WeightsError
from federation.fl.workloads import DataError, foreign
from federation.fl.workloads.workload import Phase

EVERY_SECONDS = 0.2  # between two messages about steps
FORESEEN = (Failed, OptionError, PartitionError, WeightsError, DataError)  # with a sentence for people


def serve(line: Connection, parts: Parts, device: Device) -> None:
    """Return when the other side is gone."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            order = line.recv()
            if isinstance(order, Order):  # else a Stop that came when its job had ended
                line.send(_done(line, order, parts, device))


def _done(line: Connection, order: Order, parts: Parts, device: Device) -> Done | Undone | Stopped:
    teller = Teller(line)
    try:
        value = order.job(Bench(parts.of(order.client), device), teller, *order.args, **order.options)
    except workloads.Stopped:
        return Stopped()
    except ConnectionError:
        raise
    except FORESEEN as error:
        return Undone(str(error))
    except Exception as error:  # a workload's, torch's, the disk's
        return Undone(foreign.fault(error), traceback.format_exc())
    teller.flush()
    return Done(value)


class Teller:
    """What a job reports its steps to. They travel together, and with their times: a message each would cost more."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._steps: list[Step] = []
        self._next = 0.0

    def __call__(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        self._steps.append(Step(phase, step, total, dict(metrics), datetime.now(UTC)))
        if monotonic() < self._next:
            return True
        self.flush()
        return not self._line.poll()  # whatever comes during a job is a Stop, or the end

    def flush(self) -> None:
        steps: list[Any] = self._steps
        if steps:
            self._line.send(Steps(steps))
            self._steps = []
        self._next = monotonic() + EVERY_SECONDS
