"""How far a long command has come, for somebody who sits before it: a line on a terminal, and nothing elsewhere."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID


class Count:
    """Counts up, to a total once that is known."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def expect(self, total: int) -> None:
        self._progress.update(self._task, wanted=f" of {total:,}")

    def add(self, count: int) -> None:
        self._progress.advance(self._task, count)


@contextlib.contextmanager
def counting(what: str, stream: TextIO, *, hidden: bool = False) -> Iterator[Count]:
    """Show a count of something while the block lasts, where the stream is a terminal."""
    progress = Progress(
        TextColumn("{task.completed:,.0f}{task.fields[wanted]} {task.description}"),
        TimeElapsedColumn(),
        console=Console(file=stream),
        transient=True,
        disable=hidden or not stream.isatty(),
    )
    with progress:
        yield Count(progress, progress.add_task(what, total=None, wanted=""))
