"""What a kind of work is, and what it has at hand."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from clientagent import upload
from clientagent.api import Api
from clientagent.display import Display
from clientagent.errors import Failed
from clientagent.hands import Hands
from clientagent.keys import key_of
from clientagent.ledger import Sending
from clientagent.models import Models
from clientagent.progress import Advance, Progress
from clientagent.state import TENSORS, Finished, State
from clientagent.work import BaseModel, Sends, Work
from federation import killpoints
from federation.fl import weights
from federation.fl.workloads import Report, Workload
from federation.fl.workloads.workload import Phase
from federation.killpoints import Point


@dataclass(frozen=True, slots=True)
class Desk:
    """What a piece of work is done with. leaving: set when the person at the terminal wants the agent to leave."""

    api: Api
    models: Models
    state: State
    hands: Hands
    display: Display
    leaving: threading.Event

    @contextlib.contextmanager
    def working(self, work: Work, title: str) -> Iterator[Progress]:
        """Within the block the server hears of the work, and may end it: calls and steps then raise Dropped."""
        self.display.begin(title)
        with Progress(self.api, work.participation, self.display.say) as progress, self.api.until(progress.dropped):
            yield progress

    def advance(self, progress: Progress, phase: str) -> Advance:
        """A function that reports to terminal and server how far a phase is."""

        def advance(fraction: float) -> None:
            self.display.at(phase, fraction, None)
            progress.at(phase, fraction)

        return advance

    def download(self, base: BaseModel, progress: Progress) -> Path:
        """The model's file, continued where an earlier start was cut off."""
        advance = self.advance(progress, "downloading")
        advance(0.0)
        return self.models.fetch(self.api, base, advance)

    def finished(self, key: str, progress: Progress, note: str) -> Finished | None:
        """What an earlier start has made for this work, and still has to be sent. note: said if there is something."""
        found = self.state.finished(key)
        if found is not None:
            self.display.say(note)
            progress.send_again(self.state.points(key))
        return found

    def keep(self, key: str, digest: str, progress: Progress, suffix: str = TENSORS) -> Finished:
        """Keep what was written to `state.unfinished()`, and points that may not have arrived."""
        return self.state.keep(key, digest, progress.unconfirmed(), suffix)

    def upload(self, made: Finished, work: Sends, progress: Progress) -> None:
        """Send a file of tensors, after what is left of the progress."""
        advance = self.advance(progress, "uploading")
        advance(0.0)
        progress.flush()
        with self._noted(made, work, _examples_of(made.path)):
            upload.send(self.api, work.to, made, advance)

    def report(self, made: Finished, work: Work, progress: Progress) -> bytes:
        """Send the numbers of an evaluation, after what is left of the progress. Returns what was sent."""
        sent = made.path.read_bytes()
        progress.flush()
        with self._noted(made, work, json.loads(sent).get("num_examples")):
            self.api.result(work.participation, sent)
        return sent

    @contextlib.contextmanager
    def _noted(self, made: Finished, work: Work, num_examples: int | None) -> Iterator[None]:
        """Note for the site's owner what leaves within the block. Raises Failed if that cannot be noted."""
        sending = Sending(
            f"{key_of([work.participation, work.session_id, work.session])}.{made.digest}",
            work.session,
            work.session_id,
            work.round,
            work.workload,
            work.kind,
            made.digest,
            made.path.stat().st_size,
            num_examples,
        )
        try:
            self.state.ledger.begin(sending, resumed=made.kept)
        except OSError as error:
            raise Failed(f"What leaves this site cannot be noted in the state folder: {error.strerror}.") from error
        yield
        with contextlib.suppress(OSError):  # it left, and that is noted
            self.state.ledger.accepted(sending)


def _examples_of(path: Path) -> int | None:
    """How many examples an update says that it was trained on; None of a model."""
    try:
        return int(weights.read_header(path).metadata["num_examples"])
    except (KeyError, ValueError, OSError):
        return None


class Reporter:
    """What a workload calls after each step. It reports to terminal and server, and returns whether to continue.

    point: reached at each step.
    """

    def __init__(self, desk: Desk, progress: Progress, point: Point) -> None:
        self._desk, self._progress, self._point = desk, progress, point
        self._loss: float | None = None

    def __call__(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        self.note(phase, step, total, metrics, datetime.now(UTC))
        return True

    def note(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float], time: datetime) -> None:
        """Report a step that was done at `time`. Raises Dropped if the server no longer needs the work."""
        if self._desk.leaving.is_set():
            raise KeyboardInterrupt  # the signal's own was swallowed by a library
        killpoints.reached(self._point)
        self._loss = metrics.get("train_loss", self._loss)
        self._progress.points(step, metrics, time)
        fraction = step / max(total, 1)
        self._desk.display.at(phase, fraction, self._loss)
        self._progress.at(phase, fraction)

    def waits(self) -> None:
        """The work waits for a worker, which is no part of its phase."""
        self._progress.waits()

    def begins(self) -> None:
        """A worker has begun with it."""
        self._progress.resumes()


def part_of(report: Report, part: int, parts: int, prefix: str = "") -> Report:
    """A report of one of several parts of a work, which are about as long. Its metrics get a prefix."""
    if parts == 1 and not prefix:
        return report

    def reported(phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        renamed = {f"{prefix}{name}": value for name, value in metrics.items()}
        return report(phase, (part - 1) * total + step, parts * total, renamed)

    return reported


class Kind(Protocol):
    """Each kind is a class in a file of its own. `name` is the `kind` in the work's JSON."""

    name: str

    def __init__(self, desk: Desk) -> None: ...

    @staticmethod
    def fits(workload: Workload) -> bool:
        """Whether a workload has what this kind needs. The server is told of kinds that fit one here."""

    def do(self, body: Mapping[str, Any]) -> None:
        """Do a piece of work and send its result.

        body: the work, as the server describes it.
        Raises Dropped or Stopped if the server no longer needs it. Failed, or a workload's own error, gives the
        seat up with that reason.
        """
