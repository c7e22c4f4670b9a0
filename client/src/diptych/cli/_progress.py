"""A bar that says how far a command is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import rich.progress

_T = TypeVar("_T")


class _Silent:
    """Progress where nobody looks."""

    def advance(self) -> None:
        """One more is done."""


class _Bar(_Silent):
    def __init__(self, bar: rich.progress.Progress, task: rich.progress.TaskID) -> None:
        self._bar, self._task = bar, task

    def advance(self) -> None:
        self._bar.advance(self._task)


@contextmanager
def progress(total: int | None, description: str, *, unit: str = "") -> Iterator[_Silent]:
    """A bar on stderr while it is entered, if that is a terminal; ``unit`` is for its rate."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:.1f} {unit}/s" if unit else "")

    # Lines that are printed meanwhile go through the bar's console, which is stderr: right if
    # stdout is the same terminal, wrong if it is a pipe.
    console, same_terminal = Console(stderr=True), sys.stdout.isatty()
    columns = (*Progress.get_default_columns(), Rate())
    with Progress(*columns, console=console, transient=True, redirect_stdout=same_terminal) as bar:
        yield _Bar(bar, bar.add_task(description, total=total))


def with_progress(
    items: Iterable[_T], total: int | None, description: str, *, unit: str = ""
) -> Iterator[_T]:
    """Passes items through; on a terminal with a bar, and with ``unit``, how many a second."""
    with progress(total, description, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()
