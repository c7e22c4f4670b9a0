"""A bar that says how far a command is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


def with_progress(
    items: Iterable[_T], total: int | None, description: str, *, unit: str = ""
) -> Iterator[_T]:
    """Passes items through; on a terminal with a bar, and with ``unit``, how many a second."""
    if not sys.stderr.isatty():
        yield from items
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
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=same_terminal
    ) as progress:
        yield from progress.track(items, total=total, description=description)
