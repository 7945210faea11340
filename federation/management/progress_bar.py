"""A bar in the terminal for work of many bytes, and nothing where the output is not one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

OnBytes = Callable[[int], None]


@contextmanager
def bar(doing: str) -> Iterator[tuple[OnBytes, OnBytes]]:
    """Two functions: the first is told how many bytes there are in all, the second how many more are done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=None)
        yield (lambda total: progress.update(task, total=total), lambda more: progress.advance(task, more))
