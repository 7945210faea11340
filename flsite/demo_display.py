"""How the demo shows a session in the terminal: a live table, or plain lines where it is not a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from django.utils import timezone
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from federation.lifecycle import OPEN, Outcome, SeatStatus
from federation.models import GlobalModel, Metric, Participation, Round, TrainingSession
from federation.services import waiting
from federation.services.models import choosing

EVALUATION_SECONDS = 30


class Display:
    def __init__(self, console: Console, session: TrainingSession, address: str) -> None:
        self.console, self.session, self.address = console, session, address
        self.live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self.told: set[int] = set()

    def __enter__(self) -> Display:
        self.console.print(f"  Watch it live  [bold]{self.address}[/]\n")
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def update(self) -> TrainingSession:
        """Read how it stands and show it. Returns the session as it is now."""
        self.session.refresh_from_db()
        self._tell_finished_rounds()
        if self.live:
            self.live.update(Group(self._head(), self._clients()))
        return self.session

    def _tell_finished_rounds(self) -> None:
        """One line a finished round, once its model is evaluated."""
        models = self.session.models.exclude(round=None).exclude(evaluated_at=None).select_related("round")
        for model in models.order_by("version"):
            if model.version not in self.told:
                self.told.add(model.version)
                self.console.print(_line(model, self.session.rounds))

    def _head(self) -> Table:
        done = self.session.own_rounds.filter(outcome=Outcome.MODEL).count()
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self.session.rounds, completed=done, width=30)
        state = waiting.reasons(self.session, now=timezone.now())
        grid.add_row(f"  Round {min(done + 1, self.session.rounds)} of {self.session.rounds}", bar)
        grid.add_row("  " + self.session.status.capitalize(), Text(state[0]["detail"] if state else ""))
        return grid

    def _clients(self) -> Table:
        table = Table(box=None, padding=(0, 2))
        for title in ("  client", "state", "progress", "loss"):
            table.add_column(title, header_style="dim")
        round_ = self.session.active_round() or self.session.last_round()
        for seat in _seats(round_):
            state = seat.phase if seat.status in OPEN and seat.phase else seat.status
            bar = ProgressBar(total=1.0, completed=seat.fraction, width=20)
            table.add_row(f"  {seat.client.name}", state, bar, _loss(seat))
        return table

    def wait_for_evaluation(self) -> None:
        """The last model's numbers come a moment after the session's end."""
        end = time.monotonic() + EVALUATION_SECONDS
        while self.session.models.filter(evaluated_at=None).exists() and time.monotonic() < end:
            time.sleep(0.2)
        self._tell_finished_rounds()

    def summary(self) -> None:
        model = self.session.models.exclude(metrics={}).order_by("version").last()
        by = choosing.ordered(self.session)
        known = ((one.phrase, choosing.value(model, "metrics", one.name)) for one in by) if model else ()
        result = next((f", {phrase} {value:.3f}" for phrase, value in known if value is not None), "")
        reason = f" {self.session.reason}" if self.session.reason else ""
        done = self.session.own_rounds.filter(outcome=Outcome.MODEL).count()
        self.console.print(f"\n  {self.session.name}: {self.session.status}, {done} rounds{result}.{reason}")


def _line(model: GlobalModel, rounds: int) -> str:
    round_ = model.round
    assert round_ is not None and round_.closed_at is not None
    seconds = (round_.closed_at - round_.opened_at).total_seconds()
    metrics = "".join(f"   {name} {value:.3f}" for name, value in sorted(model.metrics.items()))
    updates = round_.seats.filter(status=SeatStatus.AGGREGATED).count()
    return f"  round {round_.number:>2} of {rounds}   {seconds:5.1f} s   {updates} clients{metrics}"


def _seats(round_: Round | None) -> list[Participation]:
    return list(round_.seats.select_related("client").order_by("seat")) if round_ else []


def _loss(seat: Participation) -> str:
    last = Metric.objects.filter(participation=seat, name="train_loss").order_by("step").last()
    return f"{last.value:.3f}" if last and last.value is not None else ""
